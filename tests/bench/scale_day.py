"""A day of many instances, each hour in seconds at the rate of that hour; what docs/scale.md predicts beside what is measured."""

import dataclasses
import json
import math
import random
import subprocess
import threading
import time

import brokers
import programs
from machine import CACHE, Broken, Process
from estimate import PROFILE, Figures, count, size
from scale_costs import stream_info, total

FIRST = 1_101_000_001
CAMPAIGN = 64  # instances that send as fast as they are answered
MOST = 8_000  # connections of one sender
NEAR = (0.5, 1.5)  # of what is predicted
BUSIEST = "the busiest second of an hour, of the hour's average"
MB = 1_000_000


def say(text):
    print(text, flush=True)


@dataclasses.dataclass
class Hour:
    number: int
    rate: float  # notifications a second, without campaigns
    first: int  # of the instances that are awake
    campaign: float  # when one begins, of the hour's length; none: 0
    sent: int = 0
    bridge_cpu: float = 0
    broker_cpu: float = 0
    waits: list = dataclasses.field(default_factory=list)  # (p50, p99) of each sender, ms
    took: float = 0


def plan(instances, of, chance):
    a_day = instances * of("notifications of an instance a day")
    for number, share in enumerate(PROFILE):
        awake = max(1, instances - MOST)
        campaign = chance.uniform(0.2, 0.6) if share >= 5 else 0
        yield Hour(number, max(1, a_day * share / 100 / 3600), FIRST + chance.randrange(awake), campaign)


class Watch(threading.Thread):
    """What is most while the day goes on."""

    def __init__(self, bridge):
        super().__init__(daemon=True)
        self.bridge, self.most, self.ended = bridge, {}, False
        self.start()

    def run(self):
        while not self.ended:
            try:
                for name in ("journal_lanes", "journal_records", "journal_bytes", "connections"):
                    self.note(name, total(self.bridge, name))
                self.note("memory", self.bridge.process.memory("VmRSS"))
            except (OSError, Broken):
                return
            time.sleep(0.2)

    def note(self, name, figure):
        self.most[name] = max(figure, self.most.get(name, 0))


class Day:
    def __init__(self, folder, arguments, of):
        self.folder, self.of, self.length = folder, of, arguments.hour
        self.chance = random.Random(arguments.seed)
        self.hours = list(plan(arguments.instances, of, self.chance))
        self.outage = self.chance.choice([13, 14, 15, 16])
        self.broker = brokers.Nats(folder)
        section = f'[journal]\ndirectory = "{folder / "journal"}"\nmax_bytes = "6GiB"\n[http.limits]\nconnections = {3 * MOST}\n'
        self.bridge = programs.Bridge(self.broker, folder, section)
        self.ended_broker_cpu = 0.0
        self.away = self.kept = self.drained = 0.0
        self.watch = Watch(self.bridge)

    def broker_cpu(self):
        return self.ended_broker_cpu + self.broker.process.cpu()

    def sender(self, hour, connections, each, *flags):
        return subprocess.Popen(
            [str(word) for word in (
                programs.BRIDGE, "send", "--json", "--url", f"http://127.0.0.1:{self.bridge.port}/green-api/webhook/",
                "--token-file", self.bridge.token_file, "--pause", "1s", "--instances", connections, "--rate", each,
                "--first-instance", hour.first, *flags,
            )],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )

    def live(self, hour):
        began, bridge_cpu, broker_cpu = time.monotonic(), self.bridge.process.cpu(), self.broker_cpu()
        each = math.ceil(hour.rate / MOST)
        senders = [self.sender(hour, max(1, round(hour.rate / each)), each, "--duration", f"{self.length * 1000:.0f}ms")]
        if hour.campaign:
            time.sleep(hour.campaign * self.length)
            senders.append(self.sender(hour, CAMPAIGN, 0, "--count", max(1, round(self.of(BUSIEST) * hour.rate))))
        if hour.number == self.outage:
            self.lose_broker(began, hour)
        for sender in senders:
            said, _ = sender.communicate(timeout=600)
            figures = json.loads(said)
            if figures["answered"].get("200", 0) != figures["sent"]:
                raise Broken(f"not all were answered 200: {said}")
            hour.sent += figures["sent"]
            hour.waits.append((figures["latency_ms"]["p50"], figures["latency_ms"]["p99"]))
        hour.took = time.monotonic() - began
        hour.bridge_cpu, hour.broker_cpu = self.bridge.process.cpu() - bridge_cpu, self.broker_cpu() - broker_cpu

    def lose_broker(self, began, hour):
        """Stops the broker for half of the hour; then measures how long the backlog takes."""
        process = self.broker.process
        self.ended_broker_cpu += process.cpu()
        process.child.kill()
        process.child.wait()
        process.stop()
        gone = time.monotonic()
        time.sleep(self.length / 2)
        program = CACHE / "python/bin/nats-server"
        self.broker.process = Process(
            [program, "-a", "127.0.0.1", "-p", self.broker.port, "-js", "-sd", self.folder / "nats"], self.broker.port,
            self.folder / "nats.log",
        )
        self.away = time.monotonic() - gone
        while not total(self.bridge, "broker_connected"):
            time.sleep(0.05)
        connected = time.monotonic()
        self.kept = total(self.bridge, "journal_records")
        self.drain()
        self.drained = time.monotonic() - connected

    def drain(self):
        began = time.monotonic()
        while left := total(self.bridge, "journal_records"):
            if time.monotonic() - began > 120:
                raise Broken(f"the backlog is not drained within 120 s: {left:,.0f} records are left")
            time.sleep(0.1)


def show(hour, of):
    rate = hour.sent / hour.took
    bridge = of.cpu("bridge, JetStream", rate) * hour.sent / 1e6
    broker = of.cpu("one server", rate) * hour.sent / 1e6
    p50, p99 = hour.waits[0]
    say(f"  {hour.number:02}:00 {rate:8,.0f}/s  bridge {bridge / hour.took:6.1%} of a core predicted, {hour.bridge_cpu / hour.took:6.1%} measured;"
        f"  nats-server {broker / hour.took:6.1%}, {hour.broker_cpu / hour.took:6.1%};  p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return bridge, broker


def judge(what, predicted, measured, shown=count):
    ratio = measured / predicted if predicted else 1.0
    near = NEAR[0] <= ratio <= NEAR[1]
    say(f"  {'✓' if near else '✗'} {what:52}{shown(predicted):>14}{shown(measured):>14}{ratio:8.2f}")


def seconds(number):
    return f"{number:.1f} s"


def simulate(folder, arguments):
    of = Figures()
    day = Day(folder, arguments, of)
    say(f"A day of {arguments.instances:,} instances, each hour in {arguments.hour:g} s; seed {arguments.seed}; the broker is down at {day.outage}:00")
    cpu = []
    for hour in day.hours:
        day.live(hour)
        cpu.append(show(hour, of))
    day.watch.ended = True
    # a machine that is busy with other work may have stored some in the journal until the end
    day.drain()
    sent = sum(hour.sent for hour in day.hours)
    state = stream_info(day.broker.server)["state"]
    if state["messages"] != sent:
        raise Broken(f"{sent:,} were answered 200, and {state['messages']:,} are in the stream")
    say(f"\n{sent:,} were answered 200, and as many are in the stream\n\n    {'':52}{'predicted':>14}{'measured':>14}{'ratio':>8}")
    judge("CPU of the bridge", sum(one for one, _ in cpu), sum(hour.bridge_cpu for hour in day.hours), seconds)
    judge("CPU of nats-server", sum(one for _, one in cpu), sum(hour.broker_cpu for hour in day.hours), seconds)
    judge("disk of the stream", sent * of("JetStream, a message, disk"), state["bytes"], size)
    most, awake = day.watch.most, round(day.hours[day.outage].rate)
    judge("lanes with a backlog while the broker is down", awake, most["journal_lanes"])
    # the outage begins with a campaign
    judge("records then", awake * (day.away + of(BUSIEST)), day.kept)
    judge("journal then, beside what it has empty", day.kept * of("journal, a record of a backlog, disk"), most["journal_bytes"], size)
    drain = day.kept / min(of("backlog drained, JetStream"), of("lanes in flight") * awake)
    judge("backlog drained in", max(1.0, drain), day.drained, seconds)
    connections = max(hour.rate for hour in day.hours) + CAMPAIGN
    judge("connections", connections, most["connections"])
    memory = connections * of("idle connection, memory") * 1024 + awake * of("lane, memory") * 1000
    memory += (of("bridge, full window, under load, memory") + of("journal with a backlog, memory")) * MB
    judge("memory of the bridge", memory, most["memory"], size)
    broker_memory = of("nats-server with a busy stream, memory") * MB + sent * of("nats-server, an id of the window, memory")
    broker_memory += state["num_subjects"] * of("nats-server, a subject, memory")
    judge("memory of nats-server", broker_memory, day.broker.process.memory("VmRSS"), size)
    judge("ids that leave the window early", max(0, sent - of("dedupe.max_ids")), total(day.bridge, "dedupe_evicted_total"))
    worst = max(p99 for hour in day.hours for _, p99 in hour.waits[:1] if hour.number != day.outage)
    say(f"  {'✓' if worst <= 50 else '✗'} the worst p99 of an hour, without the outage: {worst:.1f} ms (50 ms at most)")
