"""What goes wrong with the bridge, with the broker, and between them."""

from proxy import DOWN, UP
from scenario import Scenario, between

# more than a broker takes: dead letters, in parts
BEYOND_LIMIT = ("--instances", 2, "--rate", 2, "--count", 20, "--size", "1200KiB", "--types", "incoming")


class KillBridge(Scenario):
    """kill -9 of the bridge at random moments; bodies beyond the broker's limit among the others"""

    large = BEYOND_LIMIT

    def round(self, run):
        between(run, 0.05, 1.5)
        run.kill_bridge(run.random.choice([0, 0.3]))


class JournalFirst(KillBridge):
    """the same with publish.timeout = 0s: the journal first, always"""

    needs_journal = True
    config = {"publish": "0s"}


class KillBroker(Scenario):
    """kill -9 of the broker"""

    seconds = 10
    pace = 7

    def round(self, run):
        between(run, 0.5, 1.5)
        run.kill_broker()
        between(run, 0.5, 4)
        run.broker.start()
        between(run, 1, 3)


class StopBroker(Scenario):
    """SIGSTOP of the broker, and SIGCONT"""

    seconds = 10

    def round(self, run):
        between(run, 0.2, 1.5)
        run.broker.freeze()
        between(run, 1, 5)
        run.broker.thaw()


class Cut(Scenario):
    """network cut: connections reset, or silent both ways"""

    config = {"through_proxy": True}

    def round(self, run):
        between(run, 0.2, 1.5)
        proxy, silent = run.broker.proxy, run.random.random() < 0.5
        if silent:
            proxy.hold(UP, DOWN)
        else:
            proxy.cut()
        between(run, 0.1, 4)
        proxy.heal(reset=silent)


class Stall(Scenario):
    """one-way stall, towards the broker or back; then it goes on, or is reset"""

    config = {"through_proxy": True}

    def round(self, run):
        between(run, 0.2, 1.5)
        run.broker.proxy.hold(run.random.choice([UP, DOWN]))
        between(run, 0.5, 5)
        run.broker.proxy.heal(reset=run.random.random() < 0.5)


class All(Scenario):
    """all at once: kills of both, stops, cuts, stalls, in any order and together; a topic for each class"""

    seconds = 14
    pace = 6
    large = BEYOND_LIMIT
    config = {"through_proxy": True, "by_class": True}

    def round(self, run):
        random, broker = run.random, run.broker
        for _ in range(random.choice([1, 2, 2, 3])):
            between(run, 0.05, 1)
            fault = random.choice(["bridge", "bridge", "broker", "stop", "cut", "stall"])
            if fault == "bridge":
                run.kill_bridge(random.choice([0, 0.5]))
            elif fault == "broker":
                run.kill_broker()
            elif fault == "stop" and broker.process is not None:
                broker.freeze()
            elif fault == "cut":
                broker.proxy.cut()
            else:
                broker.proxy.hold(random.choice([UP, DOWN]))
        between(run, 0.2, 3)
        broker.restore()
        between(run, 0.5, 2)
