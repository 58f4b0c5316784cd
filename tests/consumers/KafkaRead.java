import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.StringJoiner;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads topics from their first record to the last one there at start, with Kafka's own client; with --since, all that
 * was received from that time on and what comes, until it is ended.
 *
 * <p>One JSON line per record: {"topic", "partition", "offset", "timestamp", "key", "headers", "body": base64}.
 *
 * <p>Usage: java -cp 'lib/*' KafkaRead.java PROPERTIES-FILE [--since MILLISECONDS] TOPIC...
 *
 * <p>Exit codes: 0 all read; 1 a record that was announced did not come; 3 a repeated header.
 */
public class KafkaRead {
    private static final Duration SILENCE = Duration.ofSeconds(15);

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (var file = java.nio.file.Files.newBufferedReader(java.nio.file.Path.of(arguments[0]))) {
            properties.load(file);
        }
        boolean follow = arguments[1].equals("--since");
        List<String> topics = List.of(arguments).subList(follow ? 3 : 1, arguments.length);
        properties.put("enable.auto.commit", "false");
        properties.put("allow.auto.create.topics", "false");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (String topic : topics) {
                var found = consumer.partitionsFor(topic);
                if (found != null) {
                    found.forEach(one -> partitions.add(new TopicPartition(topic, one.partition())));
                }
            }
            consumer.assign(partitions);
            if (follow) {
                seek(consumer, partitions, Long.parseLong(arguments[2]));
                while (true) {
                    consumer.poll(Duration.ofSeconds(1)).forEach(record -> System.out.println(line(record)));
                    System.out.flush();
                }
            }
            consumer.seekToBeginning(partitions);
            read(consumer, consumer.endOffsets(partitions));
        }
    }

    /** Goes to the first record of that time or later; where there is none yet, to the end. */
    private static void seek(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions, long since) {
        var ends = consumer.endOffsets(partitions);
        Map<TopicPartition, Long> times = new HashMap<>();
        partitions.forEach(one -> times.put(one, since));
        consumer.offsetsForTimes(times).forEach(
            (one, found) -> consumer.seek(one, found == null ? ends.get(one) : found.offset()));
    }

    private static void read(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends) {
        long deadline = System.nanoTime() + SILENCE.toNanos();
        while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
            var records = consumer.poll(Duration.ofMillis(200));
            records.forEach(record -> System.out.println(line(record)));
            if (!records.isEmpty()) {
                deadline = System.nanoTime() + SILENCE.toNanos();
            } else if (System.nanoTime() > deadline) {
                System.err.println("records that were announced did not come");
                System.exit(1);
            }
        }
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        StringJoiner headers = new StringJoiner(", ", "{", "}");
        List<String> names = new ArrayList<>();
        for (Header header : record.headers()) {
            if (names.contains(header.key())) {
                System.err.println("header " + header.key() + " is repeated");
                System.exit(3);
            }
            names.add(header.key());
            headers.add(quoted(header.key().getBytes(StandardCharsets.UTF_8)) + ": " + quoted(header.value()));
        }
        return "{\"topic\": " + quoted(record.topic().getBytes(StandardCharsets.UTF_8))
            + ", \"partition\": " + record.partition() + ", \"offset\": " + record.offset()
            + ", \"timestamp\": " + record.timestamp() + ", \"key\": " + quoted(record.key())
            + ", \"headers\": " + headers
            + ", \"body\": \"" + Base64.getEncoder().encodeToString(record.value()) + "\"}";
    }

    /** A JSON string of UTF-8 bytes, or null. */
    private static String quoted(byte[] bytes) {
        if (bytes == null) {
            return "null";
        }
        StringBuilder out = new StringBuilder("\"");
        new String(bytes, StandardCharsets.UTF_8).chars().forEach(unit -> {
            if (unit < ' ' || unit > '~' || unit == '"' || unit == '\\') {
                out.append(String.format("\\u%04x", unit));
            } else {
                out.append((char) unit);
            }
        });
        return out.append('"').toString();
    }
}
