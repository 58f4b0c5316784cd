import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.DSYNC;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import greenapi.*; // quicktype makes them from what `greenapi-bridge schema` prints
import io.cloudevents.CloudEvent;
import io.cloudevents.core.message.MessageReader;
import io.cloudevents.http.HttpMessageFactory;
import io.cloudevents.kafka.KafkaMessageFactory;
import io.nats.client.Nats;
import io.nats.client.api.ConsumerConfiguration;
import java.beans.Introspector;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.*;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumes the events of GREEN-API from Kafka or JetStream. Usage: java Consume kafka|nats ADDRESS GROUP LEDGER */
public class Consume {
    static final List<String> CLASSES = List.of("incoming", "outgoing", "state", "device", "other");
    static final Map<String, Class<?>> TYPES = Stream.of(IncomingMessageReceived.class, IncomingMessageStatus.class,
            IncomingCall.class, IncomingBlock.class, OutgoingMessageReceived.class, OutgoingAPIMessageReceived.class,
            OutgoingMessageStatus.class, OutgoingCall.class, StateInstanceChanged.class, StatusInstanceChanged.class,
            QuotaExceeded.class, DeviceInfo.class)
        .collect(Collectors.toMap(type -> "com.green-api." + Introspector.decapitalize(type.getSimpleName()), Function.identity()));
    // new fields appear
    static final ObjectMapper JSON = new ObjectMapper().configure(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES, false);
    static final Set<String> done = new HashSet<>();
    static Path ledger;

    static void append(Path path, String... words) throws IOException {
        Files.writeString(path, String.join(" ", words) + "\n", CREATE, APPEND, DSYNC);
    }

    static String sha256(byte[] body) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
    }

    /** Yours: whatever must happen once. It keeps the id with its result, so that a repeat is known. */
    static void work(CloudEvent event, Object notification) throws Exception {
        String digest = sha256(event.getData().toBytes());
        append(ledger, event.getId(), event.getExtension("instance").toString(), digest, notification.getClass().getSimpleName());
    }

    static void handle(Supplier<MessageReader> reader, byte[] body) throws Exception {
        CloudEvent event;
        Object notification;
        try {
            event = reader.get().toEvent();
            notification = JSON.readValue(body, TYPES.getOrDefault(event.getType(), Notification.class));
        } catch (Exception problem) { // poison: set aside, because it would come again for ever
            append(Path.of(ledger + ".parked"), sha256(body), Base64.getEncoder().encodeToString(body));
            System.err.println("parked: " + problem.getClass().getSimpleName());
            return;
        }
        if (!done.contains(event.getId())) {
            work(event, notification);
            done.add(event.getId());
            System.out.println(event.getId() + " " + event.getType());
        }
    }

    static void readKafka(String servers, String group) throws Exception {
        Map<String, Object> options = Map.of("bootstrap.servers", servers, "group.id", group, "enable.auto.commit", false,
            "auto.offset.reset", "earliest");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(options, bytes, bytes)) {
            onTerm(consumer::wakeup);
            consumer.subscribe(CLASSES.stream().map(name -> "greenapi." + name).toList());
            while (true) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    handle(() -> KafkaMessageFactory.createReader(record), record.value() == null ? new byte[0] : record.value());
                    consumer.commitSync(Map.of(new TopicPartition(record.topic(), record.partition()),
                        new OffsetAndMetadata(record.offset() + 1)));
                }
            }
        } catch (WakeupException ended) {
            // by SIGTERM; what was not committed comes again
        }
    }

    static void readNats(String server, String durable) throws Exception {
        // One unacknowledged message at a time keeps the order, also when this ends in the middle or shares its work.
        var options = ConsumerConfiguration.builder().durable(durable).maxAckPending(1).ackWait(Duration.ofSeconds(5))
            .filterSubjects(CLASSES.stream().map(name -> "greenapi." + name + ".>").toList()).build(); // no work takes 5 s
        try (var connection = Nats.connect(server)) {
            connection.jetStreamManagement().addOrUpdateConsumer("GREENAPI", options);
            var consumer = connection.getStreamContext("GREENAPI").getConsumerContext(durable);
            while (!ending) {
                var message = consumer.next(1000);
                if (message != null) {
                    var headers = new HashMap<String, List<String>>();
                    if (message.hasHeaders()) message.getHeaders().entrySet().forEach(one -> headers.put(one.getKey(), one.getValue()));
                    handle(() -> HttpMessageFactory.createReaderFromMultimap(headers, message.getData()), message.getData());
                    message.ackSync(Duration.ofSeconds(5));
                }
            }
        }
    }

    static volatile boolean ending;

    /** Java ends with its last hook, so the hook waits for the work at hand. */
    static void onTerm(Runnable stop) {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            ending = true;
            stop.run();
            try {
                main.join();
            } catch (InterruptedException ignored) {
                // it ends anyway
            }
        }));
    }

    public static void main(String[] arguments) throws Exception {
        ledger = Path.of(arguments[3]);
        if (Files.isRegularFile(ledger)) {
            Files.readAllLines(ledger, UTF_8).forEach(line -> done.add(line.split(" ")[0]));
        }
        if (arguments[0].equals("kafka")) {
            readKafka(arguments[1], arguments[2]);
        } else {
            onTerm(() -> { });
            readNats(arguments[1], arguments[2]);
        }
    }
}
