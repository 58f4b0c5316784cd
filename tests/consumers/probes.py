"""The brokers as the checks see them: what another program publishes, what a group has committed."""

import asyncio

import confluent_kafka
import nats
from confluent_kafka.admin import AdminClient
from servers import Kafka, Nats

CLASSES = ["incoming", "outgoing", "state", "device", "other"]
# what another program wrote: no JSON, and nothing at all
POISON = [b"\xff no JSON", b""]


class NatsProbe:
    """JetStream as the checks see it."""

    name = "nats"

    def __init__(self, folder):
        self.server = Nats(folder)
        self.address = f"nats://127.0.0.1:{self.server.port}"
        self.section = f'[nats]\nservers = ["{self.address}"]\n'

    def publish(self, destination, key, headers, body):
        """As a program that is not the bridge does."""

        async def publish():
            client = await nats.connect(self.address)
            await client.jetstream().publish(f"greenapi.{destination}.{key}.foreign", body, headers=headers)
            await client.close()

        asyncio.run(publish())

    def poison(self):
        self.publish("other", "foreign", None, POISON[0])
        self.publish("other", "foreign", {"ce-id": "%zz"}, POISON[1])

    def repeat(self, sent, body):
        self.publish(sent.topic, sent.instance, {f"ce-{name}": value for name, value in sent.attributes.items()}, body)

    def about(self, group):
        return self.server.ask(f"CONSUMER.INFO.GREENAPI.{group}")

    def committed(self, group):
        return self.about(group)["ack_floor"]["stream_seq"]

    def finished(self, group):
        about = self.about(group)
        return about["num_pending"] == 0 and about["num_ack_pending"] == 0

    def workers(self, group):
        return self.about(group).get("num_waiting", 0)


class KafkaProbe:
    """Kafka as the checks see it."""

    name = "kafka"

    def __init__(self, folder):
        self.server = Kafka(folder)
        self.address = f"127.0.0.1:{self.server.port}"
        self.section = f'[kafka]\nbootstrap_servers = ["{self.address}"]\n[kafka.provision]\npartitions = 3\n'

    def publish(self, destination, key, headers, body):
        producer = confluent_kafka.Producer({"bootstrap.servers": self.address, "partitioner": "murmur2_random"})
        producer.produce(f"greenapi.{destination}", body, key, headers=headers)
        producer.flush()

    def poison(self):
        self.publish("other", "foreign", None, POISON[0])
        self.publish("other", "foreign", None, None)

    def repeat(self, sent, body):
        self.publish(sent.topic, sent.instance, {f"ce_{name}": value for name, value in sent.attributes.items()}, body)

    def positions(self, group):
        """The committed offset and the end of each partition."""
        quiet = {"bootstrap.servers": self.address, "log_level": 3}
        consumer = confluent_kafka.Consumer({**quiet, "group.id": group})
        partitions = [confluent_kafka.TopicPartition(f"greenapi.{name}", one) for name in CLASSES for one in range(3)]
        committed = consumer.committed(partitions, timeout=10)
        ends = [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]
        consumer.close()
        return [(max(one.offset, 0), end) for one, end in zip(committed, ends, strict=True)]

    def committed(self, group):
        return sum(offset for offset, _ in self.positions(group))

    def finished(self, group):
        return all(offset == end for offset, end in self.positions(group))

    def workers(self, group):
        # a name of its own: without one the client would be gone before its answer comes
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 3})
        said = admin.describe_consumer_groups([group])[group].result(10)
        return sum(1 for member in said.members if member.assignment.topic_partitions)
