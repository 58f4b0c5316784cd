"""What changes at nats-server while the bridge publishes: how much it takes, and where its stream stores."""

from scenario import Scenario, between
from servers import MAX_PAYLOAD


class MaxPayload(Scenario):
    """max_payload lowered below some bodies and raised again, each by a reload of the server"""

    kinds = ("nats",)
    seconds = 20
    two_forms = True
    large = ("--instances", 10, "--rate", 3, "--count", 600, "--size", "100KiB")

    def prepare(self, run):
        super().prepare(run)
        self.raised_for = 11

    def round(self, run):
        between(run, 0.5, 2)
        run.broker.limit_payload(run.random.randint(16, 90) << 10)
        between(run, 1, 4)
        if run.random.random() < 0.3:
            run.kill_bridge()
        run.broker.limit_payload(MAX_PAYLOAD)
        # the bridge asks every 10 s whether it was raised: once it has the time to notice
        between(run, self.raised_for, 12)
        self.raised_for = 1

    def check(self, run, checkers):
        cut = {of for of, _ in checkers["nats"].parts}
        run.say(f"{len(cut)} in parts, {len(checkers['nats'].verdict.in_two_forms)} of them in two forms")
        large = run.senders[-1].lines()
        first_cut = min((line.at for line in large if line.id in cut), default=None)
        if first_cut is None:
            return ["no body was larger than the lowered limit"]
        if all(line.id in cut for line in large if line.at > first_cut):
            return ["no body was stored whole once the limit was raised"]
        return []


class SubjectTransform(Scenario):
    """the stream stores under other subjects; kills of the broker, and of the bridge for longer than the stream's window"""

    kinds = ("nats",)
    needs_journal = True
    seconds = 14
    # what was published when the bridge is killed is in its journal
    config = {"publish": "0s"}

    def prepare(self, run):
        run.configure(**self.config)
        run.provision()
        transform = {"src": f"{run.prefix}.>", "dest": "stored.>"}
        run.broker.change(run.prefix, subject_transform=transform, duplicate_window=2_000_000_000)
        run.bridge.start()

    def round(self, run):
        between(run, 0.2, 1.5)
        if run.random.random() < 0.4:
            run.kill_broker()
            between(run, 0.5, 3)
            run.broker.start()
            # while it forwards
            between(run, 0, 1.5)
        run.kill_bridge(run.random.choice([0, 2.5, 3.5]))

    def check(self, run, checkers):
        others = {to for to in checkers["nats"].destinations.values() if not to.startswith("stored.")}
        return [f"not transformed: {others}"] if others else []
