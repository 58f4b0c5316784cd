import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardOpenOption.APPEND;
import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.DSYNC;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import greenapi.*; // quicktype makes them from what `greenapi-bridge schema` prints
import io.cloudevents.CloudEvent;
import io.cloudevents.core.message.MessageReader;
import java.beans.Introspector;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.*;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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

    /** Java ends with its last hook, so the hook waits for the work at hand. */
    static void onTerm(Runnable stop) {
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
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
            FromKafka.read(arguments[1], arguments[2]);
        } else {
            FromJetStream.read(arguments[1], arguments[2]);
        }
    }
}
