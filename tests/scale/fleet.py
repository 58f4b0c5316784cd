"""Bridges behind a proxy, or one beside a consumer, under the load of senders like GREEN-API."""

import dataclasses
import signal
import time

from loss_checker import LossChecker
from environment import free_port
from proxies import Haproxy, Server
from scenario_run import Bridge, ScenarioRun, Sender

HEADINGS = {False: "Several replicas without a journal", True: "Several replicas with a journal"}
NAMES = "abc"
SHOWN = 3  # of each kind of problem


@dataclasses.dataclass
class Stage:
    """What a scenario is given: a folder of its own, its broker, and what chooses the moments."""

    number: int
    folder: object
    broker: object
    random: object
    say: object


@dataclasses.dataclass
class Options:
    journal: bool


class Fleet(ScenarioRun):
    """`count` bridges; the first `served` of them behind HAProxy."""

    def __init__(self, stage, count, journal, served=None, delay="0s", changes=None):
        super().__init__(f"s{stage.number}", stage.folder, [stage.broker], stage.random, stage.say, Options(journal))
        self.bridges, self.probes = [], {}
        for name in NAMES[:count]:
            (self.folder / name).mkdir()
            bridge = Bridge(self.folder / name, free_port(), free_port())
            self.probes[bridge] = free_port()
            self.bridges.append(bridge)
        self.bridge, self.watched = self.bridges[0], list(self.bridges)
        for bridge in self.bridges:
            self.configure_one(bridge, delay)
        self.provision()
        for bridge in self.bridges:
            bridge.start()
        self.changes, self.proxy = changes, Haproxy(self.folder)
        self.serve(served or count)
        self.proxy.start()
        self.url = f"http://127.0.0.1:{self.proxy.port}/green-api/webhook/?instance={{instance}}"

    def configure_one(self, bridge, delay):
        bridge.config.write_text(
            f'[http]\nlisten = "127.0.0.1:{bridge.port}"\n[auth]\ntokens_file = "../tokens"\n'
            f'[admin]\nlisten = "127.0.0.1:{bridge.admin}"\n[probes]\nlisten = "127.0.0.1:{self.probes[bridge]}"\n'
            f'[shutdown]\ndelay = "{delay}"\n{self.broker.section(self.prefix)}'
            + ('[journal]\ndirectory = "data"\nmin_free = "4MiB"\n' if self.journal else "")
        )

    def serve(self, count, **more):
        """Has the proxy's configuration name so many of the bridges."""
        servers = [
            Server(name, number, bridge.port, None if self.journal and not self.changes else self.probes[bridge])
            for number, (name, bridge) in enumerate(zip(NAMES, self.bridges[:count]), 1)
        ]
        self.proxy.configure(HEADINGS[self.journal], servers, self.changes, **more)

    def send_load(self, instances, each):
        self.senders.append(Sender(self, "sender", 1_101_000_001, "--instances", instances, "--rate", each, "--duration", "10m"))

    def stop_sending(self):
        """What is in flight gets its answer; what waits for its repeat is not sent again."""
        for sender in self.senders:
            if sender.child.poll() is None:
                sender.child.send_signal(signal.SIGINT)
        self.until("the sender does not end", lambda: not self.sending(), 60)

    def backlog(self):
        """Records in the journals of all bridges that run; None means that one cannot be asked."""
        counts = [bridge.metric("journal_records") for bridge in self.bridges if bridge.process is not None]
        return None if None in counts else sum(counts)

    def wait_until_drained(self):
        self.stop_sending()
        if self.journal:
            self.sleep(1.5)  # the metric is a second old at most
            self.until("a journal has a backlog", lambda: self.backlog() == 0)
        for bridge in self.bridges:
            self.stop_bridge(bridge)

    def stop_bridge(self, bridge):
        if (code := bridge.terminate()) != 0:
            self.problems.append(f"the bridge {bridge.folder.name} ended with exit code {code} at SIGTERM")

    def close(self):
        super().close()
        self.proxy.stop()

    def outcome(self, began, **expected):
        """What the loss checker finds in the broker, with the problems."""
        checker = LossChecker([line for sender in self.senders for line in sender.lines()])
        for arrival in self.broker.arrivals(self.prefix):
            checker.arrival(arrival)
        ends = sum(bridge.ends for bridge in self.bridges)
        if ends:
            self.problems.append(f"a bridge ended by itself {ends} times")
        return Outcome.of(self, checker.verdict_of_all(), sum(bridge.kills for bridge in self.bridges), began, **expected)


@dataclasses.dataclass
class Outcome:
    """A row of the table, and what is wrong."""

    figures: list
    problems: list

    @classmethod
    def of(cls, run, verdict, kills, began, disorder=False):
        """`disorder`: whether there must be some, because the scenario does what nobody should."""
        problems = list(run.problems)
        for what in ("lost", "altered", "disordered", "twice"):
            found = getattr(verdict, what)
            if found and not (what == "disordered" and disorder):
                problems.append(f"{len(found)} {what}:")
                problems += [f"  {one}" for one in found[:SHOWN]]
        if disorder and not verdict.disordered:
            problems.append("there is no disorder: the scenario that must have none proves nothing")
        if verdict.answered == 0:
            problems.append("nothing was answered 200")
        figures = [sender.figures() for sender in run.senders]
        stored = sum(of["stored"].get("journal", 0) for of in figures)
        failed = sum(count for of in figures for status, count in of["answered"].items() if status != "200")
        found = [len(of) for of in (verdict.lost, verdict.altered, verdict.disordered, verdict.twice)]
        broken = sum(of["faults"] for of in figures)
        took = f"{time.monotonic() - began:.0f} s"
        return cls([verdict.answered, verdict.arrived, *found, stored, failed, broken, kills, took], problems)
