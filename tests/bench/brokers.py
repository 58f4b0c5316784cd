"""The real brokers, as tests/brokers fetches them."""

import socket

from machine import CACHE, Process, free_port, run


class Nats:
    name, title = "nats", "NATS JetStream"

    def __init__(self, folder):
        self.port = free_port()
        self.server = f"nats://127.0.0.1:{self.port}"
        program = CACHE / "python/bin/nats-server"
        self.version = run([program, "--version"]).strip().replace(": v", " ")
        self.process = Process(
            [program, "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", folder / "nats"], self.port, folder / "nats.log"
        )

    def section(self):
        return f'[nats]\nservers = ["{self.server}"]\n'

    def trim(self):
        """Empties the stream, and with it the server's window of duplicates: each measurement finds the same."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            said = connection.makefile("rb")
            said.readline()
            connection.sendall(
                b'CONNECT {"verbose":false}\r\nSUB purged 1\r\n'
                b"PUB $JS.API.STREAM.PURGE.GREENAPI purged 0\r\n\r\nPING\r\n"
            )
            while not said.readline().startswith(b"MSG purged"):
                pass


KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/kafka
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# What was measured may go: a long run would fill the disk.
log.segment.bytes=134217728
log.retention.bytes=268435456
log.retention.check.interval.ms=20000
"""


class Kafka:
    name, title = "kafka", "Apache Kafka"

    def __init__(self, folder):
        self.port = free_port()
        self.server = f"127.0.0.1:{self.port}"
        properties = folder / "kafka.properties"
        properties.write_text(KAFKA.format(port=self.port, controller=free_port(), folder=folder))
        jars = CACHE / "kafka/lib"
        self.version = "Apache Kafka " + next(jars.glob("kafka_2.13-*.jar")).stem.partition("-")[2]
        java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseSerialGC", "-cp", f"{jars}/*"]
        run([*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", properties])
        # Kafka writes its own logs where it stands.
        self.process = Process([*java, "kafka.Kafka", properties], self.port, folder / "kafka.log", cwd=folder)

    def section(self):
        return f'[kafka]\nbootstrap_servers = ["{self.server}"]\n'

    def trim(self):
        """Kafka does that itself, by size."""
