"""Runs the consumers against real brokers, and compares their ledgers with what was sent. tests/consumers/run starts it."""

import argparse
import asyncio
import atexit
import base64
import collections
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path += [str(ROOT / "tests/ledger"), str(ROOT / "tests/consumers")]

import confluent_kafka  # noqa: E402
import jsonschema  # noqa: E402
import nats  # noqa: E402
from confluent_kafka import KafkaException  # noqa: E402
from confluent_kafka.admin import AdminClient  # noqa: E402
from environment import BRIDGE, CACHE, Broken, Process, free_port, prepare, run  # noqa: E402
from expected import expect  # noqa: E402
from loss_checker import Answered  # noqa: E402
from servers import Kafka, Nats  # noqa: E402

BUILT = CACHE / "consumers"
COMMANDS = {
    "python": [BUILT / "python/bin/python", ROOT / "tests/consumers/python/consume.py"],
    "node": ["node", BUILT / "node/built/consume.js"],
    "go": [BUILT / "go/consume"],
    "java": ["java", "-cp", f"{BUILT}/java/classes:{BUILT}/java/lib/*", "Consume"],
}
RECIPES = ROOT / "tests/consumers/recipes"
# what another program wrote: no JSON, and nothing at all
POISON = [b"\xff no JSON", b""]
CLASSES = ["incoming", "outgoing", "state", "device", "other"]
PATIENCE = 60
TOKEN = "a-token-for-the-consumers"


def say(began, text):
    print(f"  {time.monotonic() - began:5.1f} s  {text}", flush=True)


class Wrong(Exception):
    """What a consumer did is not what it must do."""


class Skipped(Exception):
    """What this machine does not allow."""


def until(what, reached, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            raise Wrong(f"not within {patience} s: {what}")
        time.sleep(0.1)


class NatsSide:
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


class KafkaSide:
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
        return [(max(one.offset, 0), end) for one, end in zip(committed, ends)]

    def committed(self, group):
        return sum(offset for offset, _ in self.positions(group))

    def finished(self, group):
        return all(offset == end for offset, end in self.positions(group))

    def workers(self, group):
        # a name of its own: without one the client would be gone before its answer comes
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 3})
        said = admin.describe_consumer_groups([group])[group].result(10)
        return sum(1 for member in said.members if member.assignment.topic_partitions)


class Sent:
    """One notification that was answered 200, and has a destination that is not the dead letter."""

    def __init__(self, event_id, instance, topic, result=None, attributes=None):
        self.id, self.instance, self.topic, self.attributes = event_id, instance, topic, attributes
        self.result = result  # the name of its type; None: one of the known types; "parked": may be parked


class Bridge:
    """The program under test, and all that was sent to it."""

    def __init__(self, folder, sections):
        self.folder, self.port, self.config, self.sent = folder, free_port(), folder / "bridge.toml", []
        folder.mkdir(exist_ok=True)
        (folder / "tokens").write_text(TOKEN + "\n")
        (folder / "tokens").chmod(0o600)
        head = f'[http]\nlisten = "127.0.0.1:{self.port}"\n[auth]\ntokens_file = "tokens"\n'
        self.config.write_text(head + "".join(sections))
        schema = json.loads(run([BRIDGE, "schema"]))
        self.schema = jsonschema.Draft7Validator(schema)
        self.types = [name for name in schema["definitions"] if "typeWebhook" in schema["definitions"][name].get("properties", {})]

    def provision(self):
        """A broker listens before it takes streams and topics."""
        for tries_left in reversed(range(60)):
            try:
                return run([BRIDGE, "provision", "--config", self.config])
            except Broken:
                if tries_left == 0:
                    raise
                time.sleep(0.5)

    def start(self):
        self.process = Process([BRIDGE, "run", "--config", self.config], self.port, self.folder / "bridge.log")

    def post(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/green-api/webhook/", body, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status != 200:
            raise Broken(f"the bridge answers {answer.status} {said}; see {self.folder / 'bridge.log'}")
        return json.loads(said)["stored"]

    def send_files(self, files):
        """Bodies, each after the other, as GREEN-API does it."""
        for file in files:
            body = file.read_bytes()
            expected = expect(body)
            if self.post(body) not in ("broker", "journal"):
                continue  # a dead letter, or the same bytes again
            attributes = {name[3:]: value for name, value in expected["headers"].items() if name.startswith("ce-")}
            attributes.pop("datacontenttype", None)
            attributes["recordedtime"] = "2026-11-29T12:00:00Z"  # differs from run to run
            self.sent.append(Sent(expected["id"], attributes["instance"], expected["class"], self.result_of(body), attributes))

    def result_of(self, body):
        """The name of its type, or "parked" where the types of some language cannot hold it."""
        odd = []

        def integer(text):
            odd.extend([text] if abs(int(text)) >= 2**63 else [])
            return int(text)

        def fraction(text):
            odd.append(text)  # JSON Schema takes 1.0 for an integer, Go does not
            return float(text)

        def members(pairs):
            odd.extend(["a key twice"] if len(dict(pairs)) < len(pairs) else [])
            return dict(pairs)

        try:
            notification = json.loads(body, parse_int=integer, parse_float=fraction, object_pairs_hook=members)
            known = notification["typeWebhook"] in self.types
            valid = not odd and self.schema.is_valid(notification)
        except (ValueError, RecursionError):
            return "parked"
        name = notification["typeWebhook"]
        return ("parked" if not valid else name[0].upper() + name[1:] if known else "Notification")

    def send_samples(self, name, topic, *flags):
        ledger = self.folder / f"{name}.sent"
        run(
            [BRIDGE, "send", "--url", f"http://127.0.0.1:{self.port}/green-api/webhook/", "--ledger", ledger,
             "--token-file", self.folder / "tokens", "--rate", 0, *flags],
        )
        for line in ledger.read_text().splitlines():
            answered = Answered.read(line)
            if answered.stored in ("broker", "journal"):
                self.sent.append(Sent(answered.id, answered.instance, topic))


class Consumer:
    """A consumer at work; what it prints says which events it took."""

    def __init__(self, command, log):
        self.log, self.out = log, log.with_suffix(".out")
        environment = {**os.environ, "PYTHONPATH": str(BUILT / "python-types")}
        with open(log, "ab") as errors, open(self.out, "ab") as out:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment
            )

        atexit.register(self.child.kill)

    def ended_by_itself(self):
        return self.child.poll() is not None

    def until(self, what, reached):
        def reached_or_ended():
            if self.ended_by_itself():
                raise Wrong(f"ended by itself, exit code {self.child.returncode}: {self.log.read_text()[-2000:]}")
            return reached()

        until(what, reached_or_ended)

    def end(self):
        self.child.terminate()
        try:
            code = self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Wrong("does not end within 20 s of SIGTERM") from None
        if code not in (0, 143):  # a Java program that ends in order after SIGTERM says 143
            raise Wrong(f"exit code {code} after SIGTERM: {self.log.read_text()[-2000:]}")

    def took(self):
        return [line.split()[0] for line in self.out.read_text().splitlines()]


def of_group(language, side, group, ledger, log):
    return Consumer([*COMMANDS[language], side.name, side.address, group, ledger], log)


def tolerant(ask):
    """A group that does not exist yet is at no position."""
    try:
        return ask()
    except (Broken, KafkaException):
        return 0


def payloads():
    folders = [ROOT / "tests/payloads", *filter(None, [os.environ.get("BRIDGE_TEST_PAYLOADS")])]
    kinds = [pathlib.Path(folder, kind) for folder in folders for kind in ("valid", "invalid")]
    return [file for kind in kinds for file in sorted(kind.glob("*.json"))]


def compare(sent, ledger, by_topic):
    """The ledger has everything once, byte for byte, as its type, and each instance in order."""
    parked = {}
    if (aside := pathlib.Path(f"{ledger}.parked")).exists():
        parked = {line.split()[0]: base64.b64decode(line[64:]) for line in aside.read_text().splitlines()}
    lines = [line.split() for line in ledger.read_text().splitlines()]
    ids = collections.Counter(line[0] for line in lines)
    problems = [f"{event_id} is there {count} times" for event_id, count in ids.items() if count > 1]
    if not {hashlib.sha256(body).hexdigest() for body in POISON} <= set(parked):
        problems.append("the poison is not parked")
    problems += [f"{digest} was altered" for digest, body in parked.items() if hashlib.sha256(body).hexdigest() != digest]
    parked_ids = {digest[:32] for digest in parked}
    expected = {one.id: one for one in sent}
    for one in sent:
        if one.id not in ids and not (one.id in parked_ids and one.result == "parked"):
            problems.append(f"{one.id} of {one.instance} is {'parked' if one.id in parked_ids else 'missing'}")
    for event_id, instance, digest, result in lines:
        one = expected.get(event_id)
        if one is None:
            problems.append(f"{event_id} was not sent")
        elif digest[:32] != event_id or instance != one.instance:
            problems.append(f"{event_id} was altered, or is of another instance")
        elif one.result not in (None, "parked", result) or (one.result is None and result == "Notification"):
            problems.append(f"{event_id} is a {one.result}, and was parsed as {result}")
    order, arrived = collections.defaultdict(list), collections.defaultdict(list)
    for one in sent:
        if one.id in ids:
            order[one.instance, one.topic if by_topic else ""].append(one.id)
    for line in lines:
        if line[0] in expected:
            arrived[line[1], expected[line[0]].topic if by_topic else ""].append(line[0])
    problems += [f"{instance} {topic} is out of order" for (instance, topic), wanted in order.items() if arrived[instance, topic] != wanted]
    if problems:
        raise Wrong("; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else ""))
    return len(lines), len(parked)


class Checks:
    def __init__(self, folder, sides):
        self.folder, self.sides = folder, sides
        self.bridge = Bridge(folder, [side.section for side in sides])

    def send(self):
        began = time.monotonic()
        files = payloads()
        before = len(self.bridge.sent)
        self.bridge.send_files(files)
        first = self.bridge.sent[before]
        body = next(body for body in (file.read_bytes() for file in files) if hashlib.sha256(body).hexdigest()[:32] == first.id)
        for topic in CLASSES[:3]:
            self.bridge.send_samples(topic, topic, "--types", topic, "--first-instance", 1_103_000_001)
        for side in self.sides:
            side.poison()
            side.repeat(first, body)
        say(began, f"{len(files)} files, {len(self.bridge.sent)} events sent")

    def sharing(self, side):
        """Two workers of one group: each takes a share, and each instance stays in order."""
        ledger = self.folder / f"sharing-{side.name}"
        return ledger, [of_group("python", side, "sharing", ledger, self.folder / f"sharing-{side.name}-{one}.log") for one in (1, 2)]

    def share(self):
        began = time.monotonic()
        at_work = {side: self.sharing(side) for side in self.sides}
        for side, (_, workers) in at_work.items():
            workers[0].until("two workers", lambda: tolerant(lambda: side.workers("sharing")) == 2)
        self.bridge.send_samples("sharing", "incoming", "--types", "incoming", "--instances", 20, "--count", 300)
        for side, (ledger, workers) in at_work.items():
            side.poison()
            workers[0].until("everything is committed", lambda: side.finished("sharing"))
            for worker in workers:
                worker.end()
            compare(self.bridge.sent, ledger, side.name == "kafka")
            shares = [len(worker.took()) for worker in workers]
            if min(shares) == 0 or sum(shares) != len(self.bridge.sent):
                raise Wrong(f"the workers took {shares} of {len(self.bridge.sent)}")
            if side.name == "kafka":
                instances = [{one.instance for one in self.bridge.sent if one.id in worker.took()} for worker in workers]
                if instances[0] & instances[1]:
                    raise Wrong("both workers took events of one instance")
            say(began, f"{side.name}: two workers of one group took {shares[0]} and {shares[1]}")

    def consume(self, language, side):
        began = time.monotonic()
        group, name = f"{language}-first", f"{language}-{side.name}"
        ledger, log = self.folder / name, self.folder / f"{name}.log"
        # Work that fails commits nothing.
        full = self.folder / f"{name}-full"
        full.symlink_to("/dev/full")
        failing = of_group(language, side, group, full, log)
        until("it ends because its work fails", failing.ended_by_itself)
        if failing.child.returncode == 0 or (committed := side.committed(group)) != 0:
            raise Wrong(f"work failed, and exit code {failing.child.returncode}, committed {committed}")
        reader = of_group(language, side, group, ledger, log)
        reader.until("everything is committed", lambda: side.finished(group))
        reader.end()
        count, parked = compare(self.bridge.sent, ledger, side.name == "kafka")
        # Another group gets everything again; the ids in the ledger say that all of it is done.
        before = ledger.read_bytes()
        again = of_group(language, side, f"{language}-second", ledger, log)
        again.until("everything is committed again", lambda: tolerant(lambda: side.finished(f"{language}-second")))
        again.end()
        if ledger.read_bytes() != before:
            raise Wrong("a second reading has changed the ledger")
        say(began, f"{language} from {side.name}: {count} events and {parked} parked")


def consume_events(folder):
    """A bridge without a broker, and a consumer that is killed and goes on where it was."""
    began, admin = time.monotonic(), free_port()
    bridge = Bridge(folder, [f'[journal]\ndirectory = "data"\n[admin]\nlisten = "127.0.0.1:{admin}"\n'])
    bridge.start()
    bridge.send_files(payloads())
    ledger, log, script = folder / "ledger", folder / "consumer.log", ROOT / "tests/consumers/events/consume.py"
    command = [sys.executable, script, f"http://127.0.0.1:{admin}"]
    (folder / "full").symlink_to("/dev/full")
    failing = Consumer([*command, folder / "full"], log)
    until("it ends because its work fails", failing.ended_by_itself)

    def done():
        return ledger.read_bytes().count(b"\n") if ledger.exists() else 0

    first = Consumer([*command, ledger], log)
    first.until("the first events", lambda: done() >= 20)
    first.child.kill()
    first.child.wait()
    bridge.send_samples("more", "incoming", "--instances", 3, "--first-instance", 1_104_000_001)
    taken = len(failing.took()) + len(first.took())
    second = Consumer([*command, ledger], log)
    second.until("all events", lambda: done() >= len(bridge.sent))
    second.end()
    # all print to one file; the one that was killed may have been in the middle of an event
    if not (len(bridge.sent) <= len(second.took()) - 1 <= len(bridge.sent) + 1):
        raise Wrong(f"{len(second.took())} were taken of {len(bridge.sent)}, {taken} before the kill: it did not go on where it was")
    lines = [line.split() for line in ledger.read_text().splitlines()]
    if [line[0] for line in lines if line[1] < "1104"] != [one.id for one in bridge.sent if one.instance < "1104"]:
        raise Wrong("the ledger is not what was sent, in its order")
    if sorted(line[0] for line in lines) != sorted(one.id for one in bridge.sent) or any(line[2][:32] != line[0] for line in lines):
        raise Wrong("the ledger is not what was sent, byte for byte")
    say(began, f"events without a broker: {len(lines)}, killed in the middle")


class Recipes:
    """What docs/consume.md shows besides the consumers."""

    def __init__(self, checks):
        self.checks, self.folder, self.sent = checks, checks.folder, checks.bridge.sent
        self.sides = {side.name: side for side in checks.sides}

    def script(self, name, *words):
        return [sys.executable, RECIPES / name, self.sides["nats"].address, *words]

    def shards(self):
        """Three shards at once: each instance is in one of them, and in order."""
        workers = [Consumer(self.script("shard.py", shard, 3), self.folder / f"shard-{shard}.log") for shard in range(3)]
        expected = collections.defaultdict(list)
        for one in self.sent:
            expected[one.instance].append(one.id)

        def took():
            lines = [[line.split() for line in worker.out.read_text().splitlines()] for worker in workers]
            return [[line for line in shard if line[0] in self.ids] for shard in lines]

        # the repeat that was published again comes once more
        workers[0].until("all events", lambda: sum(map(len, took())) == len(self.sent) + 1)
        for worker in workers:
            worker.end()
        instances = [{line[1] for line in shard} for shard in took()]
        if sum(map(len, instances)) != len(expected) or not all(instances):
            raise Wrong(f"the shards have {instances}")
        for shard in took():
            arrived = collections.defaultdict(dict)
            for event_id, instance in shard:
                arrived[instance][event_id] = True
            wrong = [instance for instance, ids in arrived.items() if list(ids) != expected[instance]]
            if wrong:
                raise Wrong(f"out of order: {wrong}")
        return f"three shards took {[len(shard) for shard in took()]}"

    def last_state(self):
        """The bucket has the last stateInstanceChanged of an instance, byte for byte."""
        run(self.script("last_state.py"))
        last = {}
        for one in self.sent:
            if one.attributes and one.attributes["type"] == "com.green-api.stateInstanceChanged":
                last[one.instance] = one.id
        asked = "1101990001" if "1101990001" in last else next(iter(last))

        def value():
            with contextlib.suppress(Broken):
                said = run(self.script("last_state.py", asked))
                return hashlib.sha256(said.removesuffix("\n").encode()).hexdigest()[:32] == last[asked]

        until("the last state", value)
        return f"the last state of {len(last)} instances"

    def postgres(self):
        """Each event is one row, and a second reading changes nothing."""
        as_postgres = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        data, port = pathlib.Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
        if as_postgres:
            shutil.chown(data, "postgres")
        tools = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))), pathlib.Path("/usr/bin"))
        try:
            run([*as_postgres, tools / "initdb", "-D", data / "data", "-A", "trust", "-U", "postgres"], cwd=data)
        except (Broken, OSError):
            raise Skipped("Postgres is not installed") from None
        command = [*as_postgres, tools / "postgres", "-D", data / "data", "-p", port, "-k", data, "-h", "127.0.0.1"]
        server = Process(command, port, self.folder / "postgres-server.log", cwd=data)
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

        def query(sql):
            return run([tools / "psql", "-At", "-c", sql, url]).split()

        until("Postgres takes connections", lambda: tolerant(lambda: query("SELECT 1")))
        run([tools / "psql", "-q", "-f", RECIPES / "postgres.sql", url])
        for group in ("postgres", "postgres-again"):
            words = [BUILT / "recipes/bin/python", RECIPES / "postgres.py", self.sides["kafka"].address, group, url]
            copier = Consumer(words, self.folder / f"{group}.log")
            copier.until("everything is committed", lambda: tolerant(lambda: self.sides["kafka"].finished(group)))
            copier.end()
        rows = query("SELECT ce_id || '|' || instance || '|' || encode(sha256(body), 'hex') FROM event")
        self.same([row.split("|") for row in rows])
        server.stop()
        shutil.rmtree(data)
        return f"Postgres has {len(rows)} rows"

    def connect(self):
        """The file of the sink has every body."""
        where, port = self.folder / "connect", free_port()
        where.mkdir()
        (where / "plugins").symlink_to(BUILT / "connect/plugins")
        side = self.sides["kafka"]
        worker = (RECIPES / "connect-worker.properties").read_text().replace("127.0.0.1:9092", side.address)
        (where / "worker.properties").write_text(worker + f"listeners=http://127.0.0.1:{port}\noffset.flush.interval.ms=1000\n")
        sink = RECIPES / "connect-sink.properties"
        java = [*side.server.java, "org.apache.kafka.connect.cli.ConnectStandalone", where / "worker.properties", sink]
        connect = Process(java, port, self.folder / "connect.log", cwd=where)
        until("everything is committed", lambda: tolerant(lambda: side.finished("connect-greenapi-file")), 90)
        connect.stop()
        text = (where / "events.txt").read_bytes()
        missing = [file.name for file in payloads() if hashlib.sha256(file.read_bytes()).hexdigest()[:32] in self.ids and file.read_bytes() + b"\n" not in text]
        if missing:
            raise Wrong(f"the file lacks {missing}")
        return f"Kafka Connect wrote {len(text)} bytes"

    def same(self, rows):
        """Rows of id, instance and digest are what was sent, each once."""
        expected = sorted((one.id, one.instance) for one in self.sent)
        if sorted((row[0], row[1]) for row in rows) != expected or any(row[2][:32] != row[0] for row in rows):
            raise Wrong(f"{len(rows)} rows are not the {len(expected)} events that were sent, byte for byte")

    def run(self, attempt):
        self.ids = {one.id for one in self.sent}
        recipes = [self.shards, self.last_state] if "nats" in self.sides else []
        recipes += [self.postgres, self.connect] if "kafka" in self.sides else []
        for recipe in recipes:
            began = time.monotonic()
            attempt(f"recipe {recipe.__name__}", lambda: say(began, recipe()))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=["nats", "kafka"], action="append")
    parser.add_argument("languages", nargs="*", default=[])
    return parser.parse_args()


def main():
    options = arguments()
    prepare()
    began = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="consumers-"))
    languages = [language for language in options.languages if language in COMMANDS]
    failed = []

    def attempt(what, check, *words):
        try:
            check(*words)
            return True
        except Skipped as why:
            print(f"  {what}: skipped, {why}", flush=True)
            if path := os.environ.get("BRIDGE_TEST_SKIPS"):
                with open(path, "a", encoding="utf-8") as skips:
                    skips.write(f"{what}: {why}\n")
            return True
        except (Wrong, Broken) as problem:
            failed.append(what)
            print(f"  ✗ {what}: {problem}", flush=True)
            return False

    if "events" in options.languages:
        attempt("events", consume_events, folder / "events")
    if languages or "recipes" in options.languages:
        kinds = {"nats": NatsSide, "kafka": KafkaSide}
        sides = [kinds[name](folder / name) for name in options.broker or kinds]
        checks = Checks(folder, sides)
        checks.bridge.provision()
        checks.bridge.start()
        say(began, "brokers and bridge are up")
        if attempt("work-sharing", checks.share) and attempt("sending", checks.send):
            for language in languages:
                for side in sides:
                    attempt(f"{language} from {side.name}", checks.consume, language, side)
            if "recipes" in options.languages:
                Recipes(checks).run(attempt)
    if failed:
        print(f"{len(failed)} failed; what was written stays in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
