"""A pod as processes: a bridge as native sidecar, and a consumer as main container."""

import atexit
import dataclasses
import subprocess
import time

from environment import CONSUMERS, PYTHON, ROOT
from fleet import Options, Outcome
from loss_checker import Arrival, LossChecker
from scenario_run import ScenarioRun, Sender

INSTANCES, EACH = 10, 4
GRACE = 2  # seconds, the least that a kubelet leaves the sidecar after the main container has ended
LIVES = 2  # of the pod


class Consumer:
    """The main container: started again whenever it has ended and should not have."""

    def __init__(self, command, ledger):
        self.command, self.ledger = command, ledger
        self.process, self.wanted = None, False

    def start(self):
        self.wanted = True
        with open(self.ledger.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                [str(word) for word in self.command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
            )
        atexit.register(self.process.kill)

    def end(self, kill):
        """SIGTERM or SIGKILL, and its end."""
        self.wanted = False
        self.process.kill() if kill else self.process.terminate()
        self.process.wait(20)
        self.process = None

    def restart_if_ended(self):
        if self.process is not None and self.process.poll() is not None:
            self.process = None
        if self.process is None and self.wanted:
            time.sleep(0.3)
            self.start()

    def stop(self):
        if self.process is not None:
            self.end(kill=True)

    def lines(self):
        return [line.split() for line in self.ledger.read_text().splitlines()] if self.ledger.exists() else []


@dataclasses.dataclass(frozen=True)
class Consumed(Arrival):
    """A line of the consumer: it writes the SHA-256 in place of the body."""

    digest: str = ""

    def identity(self):
        return self.digest[:32]


class Pod(ScenarioRun):
    """The bridge, the consumer beside it, and a sender outside."""

    def __init__(self, stage, broker, journal):
        # with no broker at all there is none to fail either
        super().__init__(
            f"p{stage.number}", stage.folder, [stage.broker] if broker else [None], stage.random, stage.say, Options(journal)
        )
        self.brokers = [stage.broker] if broker else []
        bridge = self.bridge
        bridge.config.write_text(
            f'[http]\nlisten = "127.0.0.1:{bridge.port}"\n[auth]\ntokens_file = "tokens"\n'
            f'[admin]\nlisten = "127.0.0.1:{bridge.admin}"\n'
            + ('[journal]\ndirectory = "data"\nmin_free = "4MiB"\n' if journal else "")
            + (self.broker.section(self.prefix) if broker else "")
        )
        ledger = self.folder / "consumed"
        if broker:
            self.provision()
            command = [PYTHON, ROOT / "tests/scale/consume.py", f"nats://127.0.0.1:{self.broker.port}", self.prefix, ledger]
        else:
            command = [PYTHON, CONSUMERS / "events/consume.py", f"http://127.0.0.1:{bridge.admin}", ledger]
        self.consumer = Consumer(command, ledger)
        self.watched.append(self.consumer)
        self.killed_at_stop = 0

    def start(self):
        """The sidecar first; the main container once it is started."""
        self.bridge.start()
        self.consumer.start()

    def stop(self):
        """The main container first; then SIGTERM to the sidecar, and SIGKILL when the grace is over."""
        self.consumer.end(kill=self.random.random() < 0.3)
        bridge, process = self.bridge, self.bridge.process
        bridge.wanted, bridge.process = False, None
        process.child.terminate()
        try:
            code = process.child.wait(GRACE)
            if code != 0:
                self.problems.append(f"the bridge ended with exit code {code} at SIGTERM")
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.child.wait()
            self.killed_at_stop += 1
        process.stop()

    def kill_consumer(self):
        self.consumer.end(kill=True)
        self.sleep(self.random.uniform(0.1, 1))
        self.consumer.start()

    def send_load(self):
        self.senders.append(
            Sender(self, "sender", 1_101_000_001, "--instances", INSTANCES, "--rate", EACH, "--duration", "10m")
        )

    def close(self):
        self.consumer.stop()
        self.watched.remove(self.consumer)
        super().close()

    def answered(self):
        return [line for sender in self.senders for line in sender.lines()]

    def consumed_all(self):
        ids = {line[0] for line in self.consumer.lines()}
        return all(line.id in ids for line in self.answered())

    def check_consumed(self):
        """What was answered 200 against what the consumer wrote."""
        checker = LossChecker(self.answered())
        for number, (identity, instance, digest, _) in enumerate(self.consumer.lines()):
            checker.arrival(Consumed("consumer", 0, number, instance, identity, b"", digest=digest))
        return checker.verdict_of_all()


def live(stage, broker, journal, outage=None):
    """Some lives of a pod under load; `outage(pod)` begins before it stops and ends what it gives back."""
    began = time.monotonic()
    pod = Pod(stage, broker, journal)
    try:
        pod.start()
        pod.send_load()
        for _ in range(LIVES):
            pod.sleep(pod.random.uniform(1, 2))
            pod.kill_consumer()
            pod.sleep(pod.random.uniform(0.3, 1))
            pod.kill_bridge(pod.random.uniform(0.1, 0.5))
            pod.sleep(pod.random.uniform(1, 2))
            end_outage = outage(pod) if outage else None
            pod.stop()
            pod.sleep(pod.random.uniform(0.2, 1))
            if end_outage:
                end_outage()
            pod.start()
        pod.sleep(2)
        [sender] = pod.senders
        sender.child.send_signal(2)
        pod.until("the sender does not end", lambda: not pod.sending(), 60)
        pod.until("the consumer does not get everything", pod.consumed_all, 90)
        pod.sleep(1)
        verdict = pod.check_consumed()
        if pod.bridge.ends:
            pod.problems.append(f"the bridge ended by itself {pod.bridge.ends} times")
        if broker:
            checker, in_broker = pod.check_arrivals(pod.broker)
            for what in ("lost", "altered", "disordered", "twice"):
                if found := getattr(in_broker, what):
                    pod.problems.append(f"in the stream {len(found)} {what}, such as {found[0]}")
        stage.say(f"the bridge needed SIGKILL in {pod.killed_at_stop} of {LIVES} stops of the pod")
        return Outcome.of(pod, verdict, pod.bridge.kills + pod.killed_at_stop, began)
    finally:
        pod.close()


def sidecar(stage):
    """without a journal; the broker hangs when the pod stops"""

    def hang(pod):
        pod.broker.freeze()
        pod.sleep(0.5)
        return pod.broker.thaw

    return live(stage, broker=True, journal=False, outage=hang)


def sidecar_journal(stage):
    """with a journal; the broker is away when the pod stops"""

    def away(pod):
        pod.kill_broker()
        pod.sleep(1)
        return pod.broker.start

    return live(stage, broker=True, journal=True, outage=away)


def sidecar_alone(stage):
    """without a broker: the journal, and a consumer of /events with Last-Event-ID"""
    return live(stage, broker=False, journal=True)
