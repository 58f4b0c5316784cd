"""All scenarios, and those that are about what the bridge does around an outage."""

import contextlib
import sqlite3
import time

from disk_scenarios import DiskFull, ReadOnly
from outage_scenarios import All, Cut, JournalFirst, KillBridge, KillBroker, Stall, StopBroker
from scenario import Scenario, between


class DownAtStart(Scenario):
    """broker down when the bridge starts"""

    unknown = False

    def prepare(self, stage):
        stage.configure()
        stage.provision()
        stage.broker.kill()
        stage.bridge.start()
        self.up = False

    def round(self, stage):
        between(stage, 2, 4)
        if not self.up:
            self.up = True
            stage.broker.start()


class Terminate(Scenario):
    """SIGTERM under load, and a new start"""

    unknown = False

    def round(self, stage):
        between(stage, 0.5, 2)
        code = stage.bridge.terminate()
        if code != 0:
            stage.problems.append(f"exit code {code} at SIGTERM")
        stage.sleep(stage.random.choice([0, 0.3]))
        stage.bridge.start()


class ShortWindow(Scenario):
    """outage longer than a duplicate window of 5 s, the bridge killed meanwhile"""

    needs_journal = True
    seconds = 12
    config = {"window": "5s"}

    def round(self, stage):
        between(stage, 0.5, 2)
        froze = stage.random.random() < 0.5
        if froze:
            stage.broker.freeze()
        else:
            stage.kill_broker()
        # what was under way is in the journal by then
        between(stage, 3, 4)
        stage.kill_bridge()
        between(stage, 4, 5)
        if froze:
            stage.broker.thaw()
        else:
            stage.broker.start()
        between(stage, 3, 4)


class Refused(Scenario):
    """stream full (NATS), no right to write the topic (Kafka); then room, or the right"""

    # a report that says no is no unknown outcome
    unknown = False

    def round(self, stage):
        between(stage, 0.5, 1)
        stage.broker.refuse(stage.place)
        between(stage, 3, 4)
        stage.broker.accept(stage.place)
        between(stage, 2, 3)


class Missing(Scenario):
    """one class without a topic (Kafka) or stream (NATS), created later"""

    unknown = False

    def prepare(self, stage):
        stage.configure(by_class=True)
        stage.provision()
        stage.broker.remove_class(stage.place, "outgoing")
        stage.bridge.start()
        self.whole = False

    def round(self, stage):
        between(stage, 3, 4)
        if not self.whole:
            self.whole = True
            stage.provision()


class TwoBrokers(Scenario):
    """two brokers, one of them down"""

    both = True

    def round(self, stage):
        between(stage, 0.5, 1.5)
        stage.broker = stage.random.choice(stage.brokers)
        stage.kill_broker()
        between(stage, 1, 3)
        if stage.random.random() < 0.3:
            stage.kill_bridge()
        stage.broker.start()
        between(stage, 1, 3)


class Return(Scenario):
    """return to direct under load, within 5 s"""

    needs_journal = True
    seconds = 14

    def prepare(self, stage):
        super().prepare(stage)
        self.back = None

    def round(self, stage):
        if self.back is None:
            between(stage, 0.5, 1)
            stage.broker.freeze()
            between(stage, 3, 4)
            stage.broker.thaw()
            self.back = time.time() * 1000
        stage.sleep(1)

    def check(self, stage, judges):
        lines = [line for sender in stage.senders for line in sender.lines()]
        late = [line for line in lines if line.stored == "journal" and line.at > self.back + 5000]
        after = [line for line in lines if line.at > self.back + 5000]
        problems = [] if after else ["nothing was sent later than 5 s after the return"]
        if late:
            last = max(line.at for line in late) - self.back
            problems.append(f"{len(late)} of {len(after)} kept in the journal later than 5 s after the return, the last {last:.0f} ms")
        return problems


class Route(Scenario):
    """another route with a backlog: what is in the journal keeps its destination"""

    def prepare(self, stage):
        stage.configure(moved=True)
        stage.provision()
        super().prepare(stage)
        self.moved = None

    def round(self, stage):
        between(stage, 0.5, 1)
        if self.moved is None:
            stage.kill_broker()
            between(stage, 2, 3)
            stage.bridge.terminate()
            self.moved = time.time() * 1000
            stage.configure(moved=True)
            stage.bridge.start()
            between(stage, 1, 2)
            stage.broker.start()

    def check(self, stage, judges):
        judge = judges[stage.broker.name]
        wrong = [
            line for line in judge.answered.values()
            if (".moved" in judge.destinations.get(line.id, "")) != (line.at > self.moved) and line.stored == "journal"
        ]
        return [f"{len(wrong)} of the journal went to the destination of another route, such as {wrong[0]}"] if wrong else []


# The tables of a journal's first version.
FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, owed INTEGER NOT NULL, id BLOB NOT NULL, received INTEGER NOT NULL, instance INTEGER,
    class TEXT, reason TEXT, kafka INTEGER, nats INTEGER, rest TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX owed_kafka ON record(kafka, seq) WHERE owed & 2;
CREATE INDEX owed_nats ON record(nats, seq) WHERE owed & 4;
CREATE TABLE seen (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL);
PRAGMA user_version = 1;
"""


def as_it_was(path):
    """Makes a journal one of the first version; how many records it has."""
    first = path.with_suffix(".first")
    with contextlib.closing(sqlite3.connect(first)) as database:
        database.executescript(FIRST)
        database.execute("ATTACH ? AS now", [str(path)])
        for table in ("meta", "record", "seen"):
            columns = ", ".join(name for _, name, *_ in database.execute(f"PRAGMA main.table_info({table})"))
            database.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}")
        (records,) = database.execute("SELECT count(*) FROM main.record").fetchone()
        database.commit()
    first.chmod(0o600)
    first.rename(path)
    return records


class Schema(Scenario):
    """start on a journal of the first version of the schema, with a backlog"""

    needs_journal = True

    def prepare(self, stage):
        super().prepare(stage)
        self.records = None

    def round(self, stage):
        between(stage, 0.5, 1)
        if self.records is None:
            stage.kill_broker()
            between(stage, 2.5, 3.5)
            code = stage.bridge.terminate()
            if code != 0:
                stage.problems.append(f"exit code {code} at SIGTERM")
            self.records = as_it_was(stage.folder / "data/journal.db")
            stage.bridge.start()
            between(stage, 0.5, 1)
            stage.broker.start()

    def check(self, stage, judges):
        return [] if self.records else ["there was no backlog to migrate"]


SCENARIOS = {
    "kill-bridge": KillBridge,
    "journal-first": JournalFirst,
    "kill-broker": KillBroker,
    "stop-broker": StopBroker,
    "cut": Cut,
    "stall": Stall,
    "down-at-start": DownAtStart,
    "disk-full": DiskFull,
    "read-only": ReadOnly,
    "sigterm": Terminate,
    "short-window": ShortWindow,
    "refused": Refused,
    "missing": Missing,
    "two-brokers": TwoBrokers,
    "return": Return,
    "route": Route,
    "schema": Schema,
    "all": All,
}
# where --kills are divided
KILLING = ["kill-bridge", "journal-first", "kill-broker", "all"]
