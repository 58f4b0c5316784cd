"""What every scenario is: prepared once, and then its faults come round by round until all senders are done. Faults
and moments are chosen by the seed."""


class Scenario:
    """Nothing goes wrong."""

    needs_journal = False
    # whether Kafka may have a record twice: after a kill or an unknown outcome
    unknown = True
    # whether the bridge may end by itself
    ends = False
    # what its faults need at least
    seconds = 6
    # about how many seconds one kill takes, what comes after it included
    pace = 1
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
