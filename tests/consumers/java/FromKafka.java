import io.cloudevents.kafka.KafkaMessageFactory;
import java.time.Duration;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Kafka: commits each record after its work. */
class FromKafka {
    static void read(String servers, String group) throws Exception {
        Map<String, Object> options = Map.of("bootstrap.servers", servers, "group.id", group, "enable.auto.commit", false,
            "auto.offset.reset", "earliest");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(options, bytes, bytes)) {
            Consume.onTerm(consumer::wakeup);
            consumer.subscribe(Consume.CLASSES.stream().map(name -> "greenapi." + name).toList());
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    Consume.handle(() -> KafkaMessageFactory.createReader(record), record.value() == null ? new byte[0] : record.value());
                    consumer.commitSync(Map.of(new TopicPartition(record.topic(), record.partition()),
                        new OffsetAndMetadata(record.offset() + 1)));
                }
            }
        } catch (WakeupException ended) {
            // by SIGTERM; what was not committed comes again
        }
    }
}
