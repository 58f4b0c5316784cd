"""The real brokers: started, killed, stopped, restricted, and read by clients that are not ours."""

import asyncio
import base64
import json
import signal
import subprocess

from loss_checker import WHOLE, Arrival
from environment import CACHE, CONSUMERS, JARS, PYTHON, Broken, Process, free_port, run
from proxy import Proxy


class Broker:
    """A process behind a proxy; each scenario has topics or a stream of its own in it."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.port, self.proxy = folder, free_port(), Proxy()
        self.process = None

    def start(self):
        if self.process is None:
            self.process = Process(self.command, self.port, self.folder / f"{self.name}.log", cwd=self.folder)

    def kill(self):
        if self.process is not None:
            self.process.child.kill()
            self.process.child.wait()
            self.process.stop()
            self.process = None

    def fail_if_ended(self):
        if self.process is not None and (code := self.process.child.poll()) is not None:
            log, self.process = self.process.log, None
            raise Broken(f"{self.name} ended by itself, exit code {code}; see {log}")

    def freeze(self):
        self.process.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        if self.process is not None:
            self.process.child.send_signal(signal.SIGCONT)
            self.fail_if_ended()

    def restore(self):
        """As it was before any fault."""
        self.proxy.heal()
        self.thaw()
        self.start()

    def section(self, prefix, through_proxy=False):
        raise NotImplementedError


def lines_of(command):
    """What a reader prints, a JSON line each."""
    reader = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in reader.stdout:
        yield json.loads(line)
    problem = reader.stderr.read()
    if reader.wait() != 0:
        raise Broken(f"{command[0]} cannot read: {problem}")


def part_of(headers):
    part = headers.get("bridge-part")
    return tuple(int(number) for number in part.split("/")) if part else WHOLE


MAX_PAYLOAD = 1 << 20  # nats-server's default


class Nats(Broker):
    name = "nats"

    def __init__(self, folder):
        super().__init__(folder)
        self.config = folder / "nats.conf"
        self.limit_payload(MAX_PAYLOAD)
        self.command = [
            CACHE / "python/bin/nats-server", "-c", self.config, "-a", "127.0.0.1", "-p", self.port, "-js", "-sd", folder / "data",
        ]
        self.proxy.to(self.port)
        self.start()

    def limit_payload(self, max_payload):
        """A changed configuration, and a reload of it."""
        self.max_payload = max_payload
        self.config.write_text(f"max_payload: {max_payload}\n")
        if self.process is not None:
            self.process.child.send_signal(signal.SIGHUP)

    def restore(self):
        super().restore()
        if self.max_payload != MAX_PAYLOAD:
            self.limit_payload(MAX_PAYLOAD)

    def section(self, prefix, through_proxy=False, moved=False, **_):
        port = self.proxy.port if through_proxy else self.port
        moved = "moved." if moved else ""
        return (
            f'[nats]\nservers = ["nats://127.0.0.1:{port}"]\nstream = "{prefix}"\n'
            f'subject = "{prefix}.{moved}{{class}}.{{instance}}.{{type}}"\ndead_letter_subject = "{prefix}.dead-letter"\n'
        )

    def ask(self, subject, body=None):
        async def answer():
            import nats

            client = await nats.connect(f"nats://127.0.0.1:{self.port}", allow_reconnect=False)
            said = await client.request("$JS.API." + subject, json.dumps(body).encode() if body else b"", timeout=10)
            await client.close()
            return json.loads(said.data)

        said = asyncio.run(answer())
        if "error" in said:
            raise Broken(f"nats-server, {subject}: {said['error']}")
        return said

    def change(self, prefix, **changes):
        config = self.ask(f"STREAM.INFO.{prefix}")["config"]
        self.ask(f"STREAM.UPDATE.{prefix}", {**config, **changes})

    def refuse(self, prefix):
        """The stream is full before long."""
        messages = self.ask(f"STREAM.INFO.{prefix}")["state"]["messages"]
        self.change(prefix, max_msgs=messages + 50, discard="new")

    def accept(self, prefix):
        self.change(prefix, max_msgs=-1)

    def remove_class(self, prefix, name):
        """No stream takes this class any more."""
        classes = {"incoming", "outgoing", "state", "device", "other"} - {name}
        self.change(prefix, subjects=[f"{prefix}.dead-letter", *(f"{prefix}.{one}.>" for one in sorted(classes))])

    def arrivals(self, prefix):
        script = CONSUMERS / "nats_read.py"
        for line in lines_of([PYTHON, script, "--server", f"nats://127.0.0.1:{self.port}", "--stream", prefix]):
            headers, subject = line["headers"], line["subject"]
            yield Arrival(
                prefix, 0, line["seq"], headers.get("ce-instance", ""), headers["ce-id"], base64.b64decode(line["body"]),
                part_of(headers), subject,
            )


KAFKA = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=DIRECT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=DIRECT://127.0.0.1:{port},PROXIED://127.0.0.1:{proxy}
listener.security.protocol.map=DIRECT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=DIRECT
controller.listener.names=CONTROLLER
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
log.dirs={folder}/data
auto.create.topics.enable=false
# one that was killed may come back after that
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""
# with the classes that tests/brokers/kafka/fetch has parsed once a start takes half the CPU
ARCHIVE = f"-XX:SharedArchiveFile={JARS.with_name('classes.jsa')}"
# what Java itself has to say must not come between the records that a reader prints
LOG = ["-Xlog:disable", "-Xlog:all=warning:stderr"]
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", ARCHIVE, *LOG, "-cp"]


class Kafka(Broker):
    name = "kafka"

    def __init__(self, folder):
        super().__init__(folder)
        behind, self.properties = free_port(), folder / "server.properties"
        text = KAFKA.format(
            port=self.port, behind=behind, proxy=self.proxy.port, controller=free_port(), folder=folder
        )
        self.properties.write_text(text)
        (folder / "client.properties").write_text(f"bootstrap.servers=127.0.0.1:{self.port}\n")
        java = [*JAVA, f"{JARS}/*:{folder}"]
        run([*java, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", self.properties])
        run(["javac", "-cp", f"{JARS}/*", "-d", folder, CONSUMERS / "KafkaRead.java"])
        self.java, self.command = java, [*java, "kafka.Kafka", self.properties]
        self.proxy.to(behind)
        self.start()

    def section(self, prefix, through_proxy=False, moved=False, by_class=False):
        port = self.proxy.port if through_proxy else self.port
        topic = f"{prefix}{'.moved' if moved else ''}{'.{class}' if by_class else ''}"
        return (
            f'[kafka]\nbootstrap_servers = ["127.0.0.1:{port}"]\ntopic = "{topic}"\n'
            f'dead_letter_topic = "{prefix}.dead-letter"\n'
        )

    def tool(self, name, *words):
        run([*self.java, name, "--bootstrap-server", f"127.0.0.1:{self.port}", *words])

    def rights(self, prefix, *words):
        self.tool("org.apache.kafka.tools.AclCommand", *words, "--topic", prefix)

    def refuse(self, prefix):
        """Nobody may write to the topic."""
        # with one entry for it, what has none is denied
        self.rights(prefix, "--add", "--allow-principal", "User:*", "--operation", "All")
        self.rights(prefix, "--add", "--deny-principal", "User:*", "--operation", "Write")

    def accept(self, prefix):
        self.rights(prefix, "--remove", "--force", "--deny-principal", "User:*", "--operation", "Write")

    def remove_class(self, prefix, name):
        self.tool("org.apache.kafka.tools.TopicCommand", "--delete", "--topic", f"{prefix}.{name}")

    def arrivals(self, prefix):
        classes = ["", *(f".{name}" for name in ("incoming", "outgoing", "state", "device", "other", "moved"))]
        topics = [f"{prefix}{one}" for one in [*classes, ".dead-letter"]]
        for line in lines_of([*self.java, "KafkaRead", self.folder / "client.properties", *topics]):
            headers = line["headers"]
            yield Arrival(
                line["topic"], line["partition"], line["offset"], line["key"], headers["ce_id"],
                base64.b64decode(line["body"]), part_of(headers), line["topic"],
            )


KINDS = {"nats": Nats, "kafka": Kafka}
