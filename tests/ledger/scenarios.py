"""All scenarios, and those that are about what the bridge does around an outage."""

import contextlib
import sqlite3
import time

from disk_scenarios import DiskFull, FilledByOthers, ReadOnly
from outage_scenarios import All, Cut, JournalFirst, KillBridge, KillBroker, Stall, StopBroker
from scenario import Scenario, between
from stream_scenarios import MaxPayload, SubjectTransform


class DownAtStart(Scenario):
    """broker down when the bridge starts"""

    unknown = False

    def prepare(self, run):
        run.configure()
        run.provision()
        run.broker.kill()
        run.bridge.start()
        self.up = False

    def round(self, run):
        between(run, 2, 4)
        if not self.up:
            self.up = True
            run.broker.start()


class Terminate(Scenario):
    """SIGTERM under load, and a new start"""

    unknown = False

    def round(self, run):
        between(run, 0.5, 2)
        code = run.bridge.terminate()
        if code != 0:
            run.problems.append(f"exit code {code} at SIGTERM")
        run.sleep(run.random.choice([0, 0.3]))
        run.bridge.start()


class ShortWindow(Scenario):
    """outage longer than a duplicate window of 5 s, the bridge killed meanwhile"""

    needs_journal = True
    seconds = 12
    config = {"window": "5s"}

    def round(self, run):
        between(run, 0.5, 2)
        froze = run.random.random() < 0.5
        if froze:
            run.broker.freeze()
        else:
            run.kill_broker()
        # what was under way is in the journal by then
        between(run, 3, 4)
        run.kill_bridge()
        between(run, 4, 5)
        if froze:
            run.broker.thaw()
        else:
            run.broker.start()
        between(run, 3, 4)


class Refused(Scenario):
    """stream full (NATS), no right to write the topic (Kafka); then room, or the right"""

    # a report that says no is no unknown outcome
    unknown = False

    def round(self, run):
        between(run, 0.5, 1)
        run.broker.refuse(run.prefix)
        between(run, 3, 4)
        run.broker.accept(run.prefix)
        between(run, 2, 3)


class Missing(Scenario):
    """one class without a topic (Kafka) or stream (NATS), created later"""

    unknown = False

    def prepare(self, run):
        run.configure(by_class=True)
        run.provision()
        run.broker.remove_class(run.prefix, "outgoing")
        run.bridge.start()
        self.whole = False

    def round(self, run):
        between(run, 3, 4)
        if not self.whole:
            self.whole = True
            run.provision()


class TwoBrokers(Scenario):
    """two brokers, one of them down"""

    both = True

    def round(self, run):
        between(run, 0.5, 1.5)
        run.broker = run.random.choice(run.brokers)
        run.kill_broker()
        between(run, 1, 3)
        if run.random.random() < 0.3:
            run.kill_bridge()
        run.broker.start()
        between(run, 1, 3)


class Return(Scenario):
    """return to direct under load, within 5 s"""

    needs_journal = True
    seconds = 14

    def prepare(self, run):
        super().prepare(run)
        self.back = None

    def round(self, run):
        if self.back is None:
            between(run, 0.5, 1)
            run.broker.freeze()
            between(run, 3, 4)
            run.broker.thaw()
            self.back = time.time() * 1000
        run.sleep(1)

    def check(self, run, checkers):
        lines = [line for sender in run.senders for line in sender.lines()]
        late = [line for line in lines if line.stored == "journal" and line.at > self.back + 5000]
        after = [line for line in lines if line.at > self.back + 5000]
        problems = [] if after else ["nothing was sent later than 5 s after the return"]
        if late:
            last = max(line.at for line in late) - self.back
            problems.append(f"{len(late)} of {len(after)} answered from the journal later than 5 s after the return, the last {last:.0f} ms")
        return problems


class Route(Scenario):
    """another route with a backlog: what is in the journal keeps its destination"""

    def prepare(self, run):
        run.configure(moved=True)
        run.provision()
        super().prepare(run)
        self.moved = None

    def round(self, run):
        between(run, 0.5, 1)
        if self.moved is None:
            run.kill_broker()
            between(run, 2, 3)
            run.bridge.terminate()
            self.moved = time.time() * 1000
            run.configure(moved=True)
            run.bridge.start()
            between(run, 1, 2)
            run.broker.start()

    def check(self, run, checkers):
        checker = checkers[run.broker.name]
        wrong = [
            line for line in checker.answered.values()
            if (".moved" in checker.destinations.get(line.id, "")) != (line.at > self.moved) and line.stored == "journal"
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

    def prepare(self, run):
        super().prepare(run)
        self.records = None

    def round(self, run):
        between(run, 0.5, 1)
        if self.records is None:
            run.kill_broker()
            between(run, 2.5, 3.5)
            code = run.bridge.terminate()
            if code != 0:
                run.problems.append(f"exit code {code} at SIGTERM")
            self.records = as_it_was(run.folder / "data/journal.db")
            run.bridge.start()
            between(run, 0.5, 1)
            run.broker.start()

    def check(self, run, checkers):
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
    "filled-by-others": FilledByOthers,
    "read-only": ReadOnly,
    "sigterm": Terminate,
    "short-window": ShortWindow,
    "refused": Refused,
    "missing": Missing,
    "max-payload": MaxPayload,
    "subject-transform": SubjectTransform,
    "two-brokers": TwoBrokers,
    "return": Return,
    "route": Route,
    "schema": Schema,
    "all": All,
}
# with --short: a fault of each kind, and all of them together
SHORT = ["kill-bridge", "kill-broker", "disk-full", "short-window", "max-payload", "two-brokers", "all"]
# where --kills are divided
KILLING = ["kill-bridge", "journal-first", "kill-broker", "all"]
