"""What goes wrong with the bridge, with the broker, and between them."""

from proxy import DOWN, UP
from scenario import Scenario, between


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
    pace = 7

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


class All(Scenario):
    """all at once: kills of both, stops, cuts, stalls, in any order and together; a topic for each class"""

    seconds = 14
    pace = 6
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
