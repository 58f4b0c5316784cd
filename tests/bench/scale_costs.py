"""What a notification costs bridge and broker: CPU at several rates, bytes on disk, memory."""

import asyncio
import collections
import json
import socket
import time
import urllib.request

import brokers
import programs
from machine import CACHE, Broken, Process, free_port

Level = collections.namedtuple("Level", "name connections each")
LEVELS = [Level("100", 20, 5), Level("1,000", 20, 50), Level("5,000", 100, 50), Level("as many as 64 senders get answered", 64, 0)]
PARTITIONS = (1, 6, 24)
SECONDS, ROUNDS = 3, 3
MANY = 300_000


def say(text):
    print(text, flush=True)


def middle(figures):
    return sorted(figures)[len(figures) // 2]


def measure(folder, wanted):
    if "nats" in wanted:
        one_server(folder)
        cluster(folder)
        memory(folder)
        journal(folder)
    if "kafka" in wanted:
        kafka(folder)


def levels(title, bridge, processes):
    """CPU in µs a notification of the bridge and of each process, and how many a second it was."""
    bridge.measure(Level("warm-up", 64, 0), 2)
    for level in LEVELS:
        rounds = collections.defaultdict(list)
        for _ in range(ROUNDS):
            before = {name: process.cpu() for name, process in processes.items()}
            figures = bridge.measure(level, SECONDS)
            rounds["bridge"].append(figures["cpu"])
            rounds["per second"].append(figures["per_second"])
            rounds["p99"].append(figures["p99"])
            for name, process in processes.items():
                rounds[name].append((process.cpu() - before[name]) / figures["sent"] * 1e6)
        cpu = ", ".join(f"{name} {middle(of):.1f} µs" for name, of in rounds.items() if name not in ("per second", "p99"))
        say(f"  {title}, {level.name} a second: {cpu}; {middle(rounds['per second']):,.0f}/s, p99 {middle(rounds['p99']):.1f} ms")


def stream_info(server):
    """What the server says of the stream, as it says it."""

    async def ask():
        import nats

        client = await nats.connect(server)
        said = await client.request("$JS.API.STREAM.INFO.GREENAPI", b"", timeout=10)
        await client.close()
        return json.loads(said.data)

    return asyncio.run(ask())


def one_server(folder):
    say("NATS, one server")
    broker = brokers.Nats(folder)
    bridge = programs.Bridge(broker, folder)
    levels("one server", bridge, {"nats-server": broker.process})
    state = stream_info(broker.server)["state"]
    say(f"  on disk: {state['bytes'] / state['messages']:.0f} bytes a message")
    bridge.process.stop()
    broker.process.stop()


class Cluster:
    """Three nats-servers."""

    name = "nats"

    def __init__(self, folder):
        ports = {name: (free_port(), free_port()) for name in ("n1", "n2", "n3")}
        routes = ", ".join(f'"nats://127.0.0.1:{route}"' for _, route in ports.values())
        self.processes, self.servers = {}, [f"nats://127.0.0.1:{port}" for port, _ in ports.values()]
        for name, (port, route) in ports.items():
            config = folder / f"{name}.conf"
            config.write_text(
                f'server_name: {name}\nhost: 127.0.0.1\nport: {port}\njetstream {{ store_dir: "{folder}/{name}" }}\n'
                f"cluster {{ name: c\n host: 127.0.0.1\n port: {route}\n routes: [{routes}] }}\n"
            )
            self.processes[name] = Process([CACHE / "python/bin/nats-server", "-c", config], port, folder / f"{name}.log")

    def section(self):
        return f"[nats]\nservers = {self.servers}\n".replace("'", '"')

    def leader(self):
        return stream_info(self.servers[0])["cluster"]["leader"]


def cluster(folder):
    say("NATS, a cluster of three, a stream with three replicas")
    broker = Cluster(folder)
    bridge = programs.Bridge(broker, folder)
    leader = broker.leader()
    named = {("leader" if name == leader else f"follower {name}"): process for name, process in broker.processes.items()}
    levels("three servers", bridge, named)
    bridge.process.stop()
    for process in broker.processes.values():
        process.stop()


def publish(broker, messages):
    """Publishes (subject, id) and waits for the acks of every 5,000th: the server is never far behind."""
    with socket.create_connection(("127.0.0.1", broker.port), timeout=30) as connection:
        said = connection.makefile("rb")
        said.readline()
        connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB acks 1\r\n')
        batch = []
        for number, (subject, identity) in enumerate(messages, 1):
            reply = " acks" if number % 5_000 == 0 else ""
            if identity:
                head = f"NATS/1.0\r\nNats-Msg-Id: {identity}\r\n\r\n"
                batch.append(f"HPUB {subject}{reply} {len(head)} {len(head)}\r\n{head}\r\n")
            else:
                batch.append(f"PUB {subject}{reply} 0\r\n\r\n")
            if reply:
                connection.sendall("".join(batch).encode())
                batch = []
                while not said.readline().startswith(b"MSG acks"):
                    pass


def memory(folder):
    """Bytes of nats-server for each id in the window of duplicates, and for each subject."""
    kinds = {
        "neither": lambda number: ("greenapi.incoming.1.x", None),
        "ids": lambda number: ("greenapi.incoming.1.x", f"{number:032x}"),
        "subjects": lambda number: (f"greenapi.incoming.{1_101_000_001 + number}.incomingMessageReceived", None),
    }
    used = {}
    for kind, message in kinds.items():
        own = folder / kind
        own.mkdir()
        broker = brokers.Nats(own)
        config, *_ = programs.configured(broker, own)
        for _ in range(30):
            try:
                programs.run([programs.BRIDGE, "provision", "--config", config])
                break
            except Broken:
                time.sleep(0.5)
        publish(broker, (message(number) for number in range(MANY)))
        time.sleep(2)
        used[kind] = broker.process.memory("VmRSS")
        broker.process.stop()
    say(f"  memory of nats-server after {MANY:,} messages: {used['neither'] / 1e6:.0f} MB")
    for kind in ("ids", "subjects"):
        say(f"  memory of nats-server: {(used[kind] - used['neither']) / MANY:.0f} bytes for each of {MANY:,} {kind}")


def journal(folder):
    """Bytes of the journal for each record of a backlog."""
    own = folder / "away"
    own.mkdir()
    broker = brokers.Nats(own)
    section = f'[journal]\ndirectory = "{own / "journal"}"\nmax_bytes = "6GiB"\n'
    bridge = programs.Bridge(broker, own, section, stored="journal")
    before = total(bridge, "journal_bytes")
    broker.process.stop()
    time.sleep(1)
    sent = sum(bridge.measure(Level("backlog", 64, 0), SECONDS)["sent"] for _ in range(ROUNDS))
    time.sleep(2)
    say(f"  journal: {(total(bridge, 'journal_bytes') - before) / sent:.0f} bytes for each of {sent:,} records of a backlog")
    bridge.process.stop()


def total(bridge, name):
    """A metric, the sum over all labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{bridge.admin}/metrics", timeout=10) as said:
        lines = said.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"greenapi_bridge_{name} ", f"greenapi_bridge_{name}{{")))


def kafka(folder):
    say("Apache Kafka, one broker")
    broker = brokers.Kafka(folder)
    bridge = programs.Bridge(broker, folder, topics("disk", 1))
    sent = bridge.measure(Level("warm-up", 64, 0), 2)["sent"]
    size = sum(log.stat().st_size for log in (folder / "kafka").glob("disk.incoming-0/*.log"))
    say(f"  on disk: {size / sent:.0f} bytes a record")
    bridge.measure(Level("warm-up", 64, 0), 8)
    bridge.process.stop()
    for count in PARTITIONS:
        bridge = programs.Bridge(broker, folder, topics(f"p{count}", count))
        levels(f"{count} partitions", bridge, {"Kafka": broker.process})
        bridge.process.stop()
    broker.process.stop()


def topics(prefix, partitions):
    """What follows [kafka]."""
    return (
        f'topic = "{prefix}.{{class}}"\ndead_letter_topic = "{prefix}.dead-letter"\n'
        f"[kafka.provision]\npartitions = {partitions}\n"
    )
