"""One scenario at work: a bridge, senders like GREEN-API, and the brokers it goes to."""

import atexit
import json
import re
import subprocess
import time
import urllib.error
import urllib.request

from loss_checker import Answered, LossChecker
from environment import BRIDGE, Broken, Process, free_port, run

PAUSE = "500ms"  # GREEN-API waits a minute; the order of events is the same
PATIENCE = 180  # seconds for what must come to an end once nothing is broken any more


class Bridge:
    """The program, started again whenever it has ended and should not have."""

    def __init__(self, folder, port, admin):
        self.folder, self.port, self.admin = folder, port, admin
        self.config = folder / "bridge.toml"
        self.process, self.wanted, self.kills, self.ends = None, False, 0, 0

    def start(self):
        self.wanted = True
        try:
            self.process = Process([BRIDGE, "run", "--config", self.config], self.port, self.folder / "bridge.log")
        except Broken:
            self.ends += 1  # it is tried again

    def kill(self):
        self.wanted = False
        if self.process is not None:
            process, self.process = self.process, None
            process.child.kill()
            process.child.wait()
            process.stop()
            self.kills += 1

    def terminate(self):
        """SIGTERM; its exit code."""
        for _ in range(100):
            if self.metric("connections") is not None:
                break  # it serves, so it hears
            self.restart_if_ended()
            time.sleep(0.1)
        self.wanted = False
        process, self.process = self.process, None
        if process is None:
            raise Broken("the bridge does not start")
        process.child.terminate()
        try:
            return process.child.wait(40)
        except subprocess.TimeoutExpired:
            raise Broken("the bridge does not end within 40 s of SIGTERM") from None
        finally:
            process.stop()

    def restart_if_ended(self):
        """Starts it again if it has ended by itself."""
        if self.process is not None and self.process.child.poll() is not None:
            self.ends += 1
            self.process.stop()
            self.process = None
        if self.process is None and self.wanted:
            time.sleep(0.3)
            self.start()

    def metric(self, name):
        """The sum over all labels; none if it cannot be asked."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=2) as said:
                text = said.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return sum(float(value) for value in re.findall(rf"^greenapi_bridge_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


class Sender:
    """`greenapi-bridge send`: one notification in flight for each instance, again until it is answered 200."""

    def __init__(self, run, name, first, *flags):
        self.ledger, self.summary = run.folder / f"{name}.ledger", run.folder / f"{name}.json"
        command = [
            BRIDGE, "send", "--json", "--url", run.url,
            "--token-file", run.folder / "tokens", "--pause", PAUSE, "--ledger", self.ledger,
            "--first-instance", first, *flags,
        ]
        with open(self.summary, "wb") as out, open(self.summary.with_suffix(".log"), "wb") as errors:
            self.child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=errors)
        atexit.register(self.child.kill)
        self.read_to, self.count = 0, 0

    def answered(self):
        """How many so far."""
        try:
            with open(self.ledger, "rb") as ledger:
                ledger.seek(self.read_to)
                news = ledger.read()
        except FileNotFoundError:
            return 0  # it has not begun
        self.read_to += len(news)
        self.count += news.count(b"\n")
        return self.count

    def lines(self):
        return [Answered.read(line) for line in self.ledger.read_text().splitlines()]

    def figures(self):
        return json.loads(self.summary.read_text())


class ScenarioRun:
    def __init__(self, prefix, folder, brokers, random, say, options):
        folder.mkdir()
        self.prefix, self.folder, self.brokers, self.random, self.say = prefix, folder, brokers, random, say
        self.options, self.journal = options, options.journal
        self.bridge = Bridge(folder, free_port(), free_port())
        self.url = f"http://127.0.0.1:{self.bridge.port}/green-api/webhook/"
        # what is started again when it has ended by itself
        self.watched = [self.bridge]
        self.senders, self.problems, self.disk = [], [], None
        self.broker_kills = 0
        self.broker = brokers[0]
        (folder / "tokens").write_text("a-token-for-the-ledger\n")
        (folder / "tokens").chmod(0o600)
        self.reported = time.monotonic()

    def configure(self, *, publish=None, window=None, directory="data", **section):
        bridge = self.bridge
        publish = publish or (None if self.journal else "3s")
        text = (
            f'[http]\nlisten = "127.0.0.1:{bridge.port}"\n[auth]\ntokens_file = "tokens"\n'
            f'[admin]\nlisten = "127.0.0.1:{bridge.admin}"\n[kafka.provision]\npartitions = 3\n'
        )
        if "kafka" not in [broker.name for broker in self.brokers]:
            text = text.partition("[kafka.provision]")[0]
        text += f'[publish]\ntimeout = "{publish}"\n' if publish else ""
        text += f'[dedupe]\nwindow = "{window}"\n' if window else ""
        # the limit of a disk is a scenario of its own
        text += f'[journal]\ndirectory = "{directory}"\nmin_free = "4MiB"\n' if self.journal else ""
        bridge.config.write_text(text + "".join(broker.section(self.prefix, **section) for broker in self.brokers))

    def provision(self):
        """A broker listens before it takes streams and topics."""
        for tries_left in reversed(range(60)):
            try:
                return run([BRIDGE, "provision", "--config", self.bridge.config])
            except Broken:
                if tries_left == 0:
                    raise
                time.sleep(0.5)

    def send(self, count, rate, large):
        instances = max(10, min(100, rate // 15))
        flags = ["--instances", instances, "--rate", max(1, rate // instances), "--count", count]
        self.senders.append(Sender(self, "sender", 1_101_000_001, *flags))
        if large:
            self.senders.append(Sender(self, "large", 1_102_000_001, *large))

    def sending(self):
        return any(sender.child.poll() is None for sender in self.senders)

    def sleep(self, seconds):
        """Passes time while the senders send; meanwhile the bridge is kept running."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for process in self.watched:
                process.restart_if_ended()
            for broker in self.brokers:
                broker.fail_if_ended()
            if time.monotonic() - self.reported >= 10:
                self.report_progress()
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def report_progress(self):
        self.reported = time.monotonic()
        answered = sum(sender.answered() for sender in self.senders)
        self.say(f"{answered:,} answered 200, {self.bridge.kills + self.broker_kills} kills")

    def kill_bridge(self, pause=0.0):
        self.bridge.kill()
        self.sleep(pause)
        self.bridge.start()

    def kill_broker(self):
        self.broker.kill()
        self.broker_kills += 1

    def until(self, what, reached, within=PATIENCE):
        deadline = time.monotonic() + within
        while not reached():
            if time.monotonic() > deadline:
                self.problems.append(f"after {within} s: {what}")
                return
            self.sleep(0.2)

    def wait_until_drained(self):
        """Waits for the senders, and until the backlog is drained."""
        self.until("not everything is answered 200", lambda: not self.sending())
        for sender in self.senders:
            if sender.child.poll() is None:
                sender.child.terminate()
                sender.child.wait(60)
        if self.journal:
            self.sleep(1.5)  # the metric is a second old at most
            self.until("the journal has a backlog", lambda: self.bridge.metric("journal_records") == 0)
        if (code := self.bridge.terminate()) != 0:
            self.problems.append(f"the bridge ended with exit code {code} at the last SIGTERM")

    def check_arrivals(self, broker):
        checker = LossChecker([line for sender in self.senders for line in sender.lines()])
        for arrival in broker.arrivals(self.prefix):
            checker.arrival(arrival)
        return checker, checker.verdict_of_all()

    def close(self):
        for sender in self.senders:
            if sender.child.poll() is None:
                sender.child.kill()
                sender.child.wait()
        for process in self.watched:
            if process.process is not None:
                process.process.stop()
        if self.disk is not None:
            self.disk.unmount()
