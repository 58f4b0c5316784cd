"""What goes wrong while notifications come. Each scenario is prepared once, and its faults come round by round until
all senders are done. Faults and moments are chosen by the seed."""

import time

from disks import Failing, Small
from proxy import DOWN, UP


class Scenario:
    """Nothing goes wrong."""

    needs_journal = False
    # whether Kafka may have a record twice: after a kill or an unknown outcome
    unknown = True
    # whether the bridge may end by itself
    ends = False
    seconds = 6
    large = False
    both = False
    config = {}

    def prepare(self, stage):
        stage.configure(**self.config)
        stage.provision()
        stage.bridge.start()

    def round(self, stage):
        stage.sleep(1)

    def check(self, stage, judges):
        """Problems beyond the judge's."""
        return []


def between(stage, least, most):
    stage.sleep(stage.random.uniform(least, most))


class KillBridge(Scenario):
    """kill -9 of the bridge at random moments; bodies beyond the broker's limit among the others"""

    large = True

    def round(self, stage):
        between(stage, 0.05, 1.5)
        stage.kill_bridge(stage.random.choice([0, 0.3]))


class JournalFirst(KillBridge):
    """the same with publish.timeout = 0s: the journal first, always"""

    needs_journal = True
    config = {"publish": "0s"}


class KillBroker(Scenario):
    """kill -9 of the broker"""

    seconds = 10

    def round(self, stage):
        between(stage, 0.5, 1.5)
        stage.kill_broker()
        between(stage, 0.5, 4)
        stage.broker.start()
        between(stage, 1, 3)


class StopBroker(Scenario):
    """SIGSTOP of the broker, and SIGCONT"""

    seconds = 10

    def round(self, stage):
        between(stage, 0.2, 1.5)
        stage.broker.freeze()
        between(stage, 1, 5)
        stage.broker.thaw()


class Cut(Scenario):
    """network cut: connections reset, or silent both ways"""

    config = {"through_proxy": True}

    def round(self, stage):
        between(stage, 0.2, 1.5)
        proxy, silent = stage.broker.proxy, stage.random.random() < 0.5
        if silent:
            proxy.hold(UP, DOWN)
        else:
            proxy.cut()
        between(stage, 0.1, 4)
        proxy.heal(reset=silent)


class Stall(Scenario):
    """one-way stall, towards the broker or back; then it goes on, or is reset"""

    config = {"through_proxy": True}

    def round(self, stage):
        between(stage, 0.2, 1.5)
        stage.broker.proxy.hold(stage.random.choice([UP, DOWN]))
        between(stage, 0.5, 5)
        stage.broker.proxy.heal(reset=stage.random.random() < 0.5)


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


class DiskFull(Scenario):
    """disk full while the broker is down"""

    needs_journal = True
    # a start on a full disk fails
    ends = True

    def prepare(self, stage):
        stage.disk = Small(stage.folder / "disk")
        stage.configure(directory=stage.disk.folder / "data")
        stage.provision()
        stage.bridge.start()

    def round(self, stage):
        between(stage, 0.2, 1)
        stage.kill_broker()
        between(stage, 0.5, 1.5)
        stage.disk.fill()
        between(stage, 1, 3)
        if stage.random.random() < 0.5:
            stage.kill_bridge()
            between(stage, 0.5, 1)
        # which of the two comes first matters
        steps = [stage.disk.empty, stage.broker.start]
        stage.random.shuffle(steps)
        for step in steps:
            step()
            between(stage, 1, 2)

    def check(self, stage, judges):
        refused = sum(sender.figures()["answered"].get("503", 0) for sender in stage.senders)
        return [] if refused else ["nothing was refused: the disk was not full"]


class ReadOnly(Scenario):
    """file system becomes read-only while the broker is down"""

    needs_journal = True
    ends = True

    def prepare(self, stage):
        stage.disk = Failing(stage.folder / "disk")
        stage.configure(directory=stage.disk.folder / "data")
        stage.provision()
        stage.bridge.start()

    def round(self, stage):
        between(stage, 0.2, 1)
        stage.kill_broker()
        between(stage, 0.5, 1.5)
        stage.disk.fail()
        # it refuses, or ends by itself where the disk does not sync
        until = time.monotonic() + stage.random.uniform(1, 3)
        while time.monotonic() < until and stage.bridge.process.child.poll() is None:
            time.sleep(0.05)
        stage.say(f"with the file system read-only the bridge {ended(stage.bridge.process.child.poll())}")
        stage.bridge.kill()
        stage.disk.repair()
        stage.bridge.start()
        between(stage, 0.5, 1)
        stage.broker.start()
        between(stage, 1, 2)


def ended(code):
    return "goes on" if code is None else f"ended with exit code {code}"


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


class All(Scenario):
    """all at once: kills of both, stops, cuts, stalls, in any order and together; a topic for each class"""

    seconds = 14
    large = True
    config = {"through_proxy": True, "by_class": True}

    def round(self, stage):
        random, broker = stage.random, stage.broker
        for _ in range(random.choice([1, 2, 2, 3])):
            between(stage, 0.05, 1)
            fault = random.choice(["bridge", "bridge", "broker", "stop", "cut", "stall"])
            if fault == "bridge":
                stage.kill_bridge(random.choice([0, 0.5]))
            elif fault == "broker":
                stage.kill_broker()
            elif fault == "stop" and broker.process is not None:
                broker.freeze()
            elif fault == "cut":
                broker.proxy.cut()
            else:
                broker.proxy.hold(random.choice([UP, DOWN]))
        between(stage, 0.2, 3)
        broker.restore()
        between(stage, 0.5, 2)


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
    "all": All,
}
# where --kills are divided
KILLING = ["kill-bridge", "journal-first", "kill-broker", "all"]
