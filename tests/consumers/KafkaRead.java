import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
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
 * Reads topics from their first record to the last one there at start, with Kafka's own client. With --since it reads
 * the records received at that time or later, and then those that arrive, until the process is ended. With --serve it
 * reads once for each line of its input, because starting Java and this program takes longer than most readings.
 *
 * <p>One JSON line per record: {"topic", "partition", "offset", "timestamp", "key", "headers", "body": base64}. With
 * --serve a line {"end": null} follows the last record, or {"end": problem} where the reading failed.
 *
 * <p>Usage: java -cp 'lib/*' KafkaRead.java PROPERTIES-FILE [--since MILLISECONDS] TOPIC...
 *
 * <p>Usage: java -cp 'lib/*' KafkaRead.java --serve; a line of its input is: BOOTSTRAP-SERVER TOPIC...
 *
 * <p>Exit codes: 0 all read; 1 an announced record did not arrive; 3 a repeated header.
 */
public class KafkaRead {
    private static final Duration SILENCE = Duration.ofSeconds(15);

    /** Ends one reading. */
    private static class Failure extends RuntimeException {
        private final int exitCode;

        Failure(int exitCode, String problem) {
            super(problem);
            this.exitCode = exitCode;
        }
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("--serve")) {
            serve();
            return;
        }
        try {
            once(arguments);
        } catch (Failure failure) {
            System.err.println(failure.getMessage());
            System.exit(failure.exitCode);
        }
    }

    private static void serve() throws Exception {
        // System.out would write each line by itself
        var out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16);
        System.setOut(new PrintStream(out, false, StandardCharsets.UTF_8));
        var requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String request = requests.readLine(); request != null; request = requests.readLine()) {
            List<String> words = List.of(request.split(" "));
            Properties properties = new Properties();
            properties.put("bootstrap.servers", words.get(0));
            String problem = null;
            try {
                readAll(properties, words.subList(1, words.size()));
            } catch (RuntimeException failure) {
                problem = failure.toString();
            }
            byte[] text = problem == null ? null : problem.getBytes(StandardCharsets.UTF_8);
            System.out.println("{\"end\": " + quoted(text) + "}");
            System.out.flush();
        }
    }

    private static void once(String[] arguments) throws Exception {
        Properties properties = new Properties();
        try (var file = java.nio.file.Files.newBufferedReader(java.nio.file.Path.of(arguments[0]))) {
            properties.load(file);
        }
        boolean follow = arguments[1].equals("--since");
        List<String> topics = List.of(arguments).subList(follow ? 3 : 1, arguments.length);
        if (!follow) {
            readAll(properties, topics);
            return;
        }
        try (var consumer = consumer(properties)) {
            List<TopicPartition> partitions = assign(consumer, topics);
            seek(consumer, partitions, Long.parseLong(arguments[2]));
            while (true) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> System.out.println(line(record)));
                System.out.flush();
            }
        }
    }

    private static void readAll(Properties properties, List<String> topics) {
        try (var consumer = consumer(properties)) {
            List<TopicPartition> partitions = assign(consumer, topics);
            consumer.seekToBeginning(partitions);
            read(consumer, consumer.endOffsets(partitions));
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Properties properties) {
        properties.put("enable.auto.commit", "false");
        properties.put("allow.auto.create.topics", "false");
        var bytes = new ByteArrayDeserializer();
        return new KafkaConsumer<>(properties, bytes, bytes);
    }

    /** Every partition of these topics; a topic that does not exist has none. */
    private static List<TopicPartition> assign(KafkaConsumer<byte[], byte[]> consumer, List<String> topics) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (String topic : topics) {
            var found = consumer.partitionsFor(topic);
            if (found != null) {
                found.forEach(one -> partitions.add(new TopicPartition(topic, one.partition())));
            }
        }
        consumer.assign(partitions);
        return partitions;
    }

    /** Seeks to the first record of that time or later; where there is none yet, to the end. */
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
                throw new Failure(1, "announced records did not arrive");
            }
        }
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        StringJoiner headers = new StringJoiner(", ", "{", "}");
        List<String> names = new ArrayList<>();
        for (Header header : record.headers()) {
            if (names.contains(header.key())) {
                throw new Failure(3, "header " + header.key() + " is repeated");
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
