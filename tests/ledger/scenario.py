"""What every scenario is: prepared once, and then its faults come round by round until all senders are done. Faults
and moments are chosen by the seed."""


class Scenario:
    """Nothing goes wrong."""

    needs_journal = False
    # the brokers that have such a fault
    kinds = ("nats", "kafka")
    # whether Kafka may have a record twice: after a kill or an unknown outcome
    unknown = True
    # whether a body may come whole and in parts: it was in flight when the broker's limit changed
    two_forms = False
    # whether the bridge may end by itself
    ends = False
    # what its faults need at least
    seconds = 6
    # about how many seconds one kill takes, what comes after it included
    pace = 1
    # options of a second sender, of larger bodies
    large = ()
    both = False
    config = {}

    def prepare(self, run):
        run.configure(**self.config)
        run.provision()
        run.bridge.start()

    def round(self, run):
        run.sleep(1)

    def check(self, run, checkers):
        """Problems beyond the checker's."""
        return []


def between(run, least, most):
    run.sleep(run.random.uniform(least, most))
