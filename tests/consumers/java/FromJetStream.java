import io.cloudevents.http.HttpMessageFactory;
import io.nats.client.Nats;
import io.nats.client.api.ConsumerConfiguration;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;

/** JetStream: acknowledges one message after the other, each after its work. */
class FromJetStream {
    private static volatile boolean ending;

    static void read(String server, String durable) throws Exception {
        Consume.onTerm(() -> ending = true);
        // One unacknowledged message at a time keeps the order, also when this ends in the middle or shares its work.
        var options = ConsumerConfiguration.builder().durable(durable).maxAckPending(1).ackWait(Duration.ofSeconds(5))
            .filterSubjects(Consume.CLASSES.stream().map(name -> "greenapi." + name + ".>").toList()).build(); // must exceed the slowest work
        try (var connection = Nats.connect(server)) {
            connection.jetStreamManagement().addOrUpdateConsumer("GREENAPI", options);
            var consumer = connection.getStreamContext("GREENAPI").getConsumerContext(durable);
            while (!ending) {
                var message = consumer.next(1000);
                if (message != null) {
                    var headers = new HashMap<String, List<String>>();
                    if (message.hasHeaders()) {
                        message.getHeaders().entrySet().forEach(one -> headers.put(one.getKey(), one.getValue()));
                    }
                    Consume.handle(() -> HttpMessageFactory.createReaderFromMultimap(headers, message.getData()), message.getData());
                    message.ackSync(Duration.ofSeconds(5));
                }
            }
        }
    }
}
