"""The recipes of docs/consume.md, each tried."""

import collections
import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile

from environment import ROOT, Broken, Process, free_port, run
from sent import payloads
from workers import BUILT, Consumer, Wrong, tolerant, until

RECIPES = ROOT / "tests/consumers/recipes"


class Skipped(Exception):
    """What this machine does not allow."""


class Recipes:
    """What docs/consume.md shows besides the consumers."""

    def __init__(self, checks):
        self.folder, self.sent = checks.folder, checks.bridge.sent
        self.ids = {one.id for one in self.sent}
        self.brokers = {broker.name: broker for broker in checks.brokers}

    def script(self, name, *words):
        return [sys.executable, RECIPES / name, self.brokers["nats"].address, *words]

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
            words = [BUILT / "recipes/bin/python", RECIPES / "postgres.py", self.brokers["kafka"].address, group, url]
            copier = Consumer(words, self.folder / f"{group}.log")
            copier.until("everything is committed", lambda: tolerant(lambda: self.brokers["kafka"].finished(group)))
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
        broker = self.brokers["kafka"]
        worker = (RECIPES / "connect-worker.properties").read_text().replace("127.0.0.1:9092", broker.address)
        (where / "worker.properties").write_text(worker + f"listeners=http://127.0.0.1:{port}\noffset.flush.interval.ms=1000\n")
        sink = RECIPES / "connect-sink.properties"
        java = [*broker.server.java, "org.apache.kafka.connect.cli.ConnectStandalone", where / "worker.properties", sink]
        connect = Process(java, port, self.folder / "connect.log", cwd=where)
        until("everything is committed", lambda: tolerant(lambda: broker.finished("connect-greenapi-file")), 90)
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

    def all(self):
        recipes = [self.shards, self.last_state] if "nats" in self.brokers else []
        return recipes + ([self.postgres, self.connect] if "kafka" in self.brokers else [])
