"""The estimate of docs/scale.md: it reads its figures from that page, so the page and the estimate never differ."""

import math
import re

from machine import ROOT, Broken

SIZES = (1_000, 100_000, 1_000_000)
DAY, HOUR = 86_400, 3_600
# The hours of the assumed day, percent of the day's notifications.
PROFILE = [
    0.6, 0.4, 0.3, 0.3, 0.4, 0.8, 1.8, 3.5, 5.5, 7.5, 8.5, 8.8, 8.0, 7.5, 8.2, 8.0, 7.2, 6.0, 5.0, 4.2, 3.2, 2.2, 1.4, 0.7,
]
LANES_OF_A_STREAM = 65_536


def figures():
    """The rows of the tables under "Measured" and "Assumed": name and number."""
    page = (ROOT / "docs/scale.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([\d,.]+) ?[^|]* \|", page, re.MULTILINE)
    return {name.strip(): float(number.replace(",", "")) for name, number in rows}


class Figures:
    def __init__(self):
        self.rows = figures()

    def __call__(self, name):
        if name not in self.rows:
            raise Broken(f"docs/scale.md has no figure {name!r}")
        return self.rows[name]

    def cpu(self, of, per_second):
        """Microseconds a notification at this rate: between the measured rates on a logarithmic scale."""
        points = [
            (float(match[1].replace(",", "")), number)
            for name, number in self.rows.items() if (match := re.fullmatch(rf"{re.escape(of)} at ([\d,]+)/s, CPU", name))
        ]
        if len(points) < 2:
            raise Broken(f"docs/scale.md has {len(points)} rates of {of!r}")
        points.sort()
        if per_second <= points[0][0]:
            return points[0][1]
        for (low, at_low), (high, at_high) in zip(points, points[1:]):
            if per_second <= high:
                part = math.log(per_second / low) / math.log(high / low)
                return at_low + part * (at_high - at_low)
        return points[-1][1]


class Estimate:
    """Of so many instances."""

    def __init__(self, instances, of):
        self.instances, self.of = instances, of
        self.day = instances * of("notifications of an instance a day")
        self.average = self.day / DAY
        self.busiest_hour = self.day * max(PROFILE) / 100 / HOUR
        self.peak = self.busiest_hour * of("the busiest second of an hour, of the hour's average")

    def cores(self, what):
        return self.peak * self.of.cpu(what, self.peak) / 1e6


def count(number):
    return f"{number:,.0f}"


def size(of):
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if of < 1000 or unit == "TB":
            return f"{of:,.0f} {unit}" if of >= 10 or unit == "B" else f"{of:,.1f} {unit}"
        of /= 1000
    raise AssertionError


def rows(estimates, of):
    """What, how it is calculated, and the figure of each size."""
    days, share = of("days that a broker keeps"), of("the part of a core that the busiest second may take")
    limit, kafka_limit = of("one stream of three replicas, the most"), of("one broker of Kafka, the most")

    def row(what, how, figure):
        return [what, how, *(figure(one) for one in estimates)]

    def bridges(one):
        return max(2, math.ceil(one.cores("bridge, JetStream") / share))

    def streams(one):
        return max(1, math.ceil(one.peak / (limit * share)))

    # a follower counts as much as a leader, and three replicas need three brokers
    def kafka_brokers(one):
        return max(3, math.ceil(one.peak * 3 / (kafka_limit * share)))

    def lanes(one):
        return min(LANES_OF_A_STREAM, one.instances / bridges(one))

    yield row("notifications a second, average", "instances × a day's ÷ 86,400", lambda one: count(one.average))
    yield row("in the busiest hour", "a day's × 8.8 % ÷ 3,600", lambda one: count(one.busiest_hour))
    yield row("in the busiest second", "5 × the busiest hour's average", lambda one: count(one.peak))
    yield row("cores for bridges, JetStream", "busiest second × CPU", lambda one: f"{one.cores('bridge, JetStream'):.2f}")
    yield row("cores for bridges, Kafka", "busiest second × CPU", lambda one: f"{one.cores('bridge, Kafka, 6 partitions'):.2f}")
    yield row("bridges with JetStream (`http.workers = 1`)", "cores ÷ 0.6, 2 at least", lambda one: count(bridges(one)))
    yield row("TLS in the bridges, no keep-alive: cores", "busiest second × a handshake", lambda one: f"{one.peak * of('full TLS handshake, CPU') / 1e6:.2f}")
    yield row("TLS in the bridges, kept open: memory", "instances × a connection", lambda one: size(one.instances * of("idle connection over TLS, memory") * 1024))
    yield row("cores of a stream's leader", "busiest second × CPU", lambda one: f"{one.cores('leader of three'):.2f}")
    yield row("streams", "busiest second ÷ (0.6 × the most of one stream)", lambda one: count(streams(one)))
    yield row("brokers of Kafka, 6 partitions, three replicas", "busiest second × 3 ÷ (0.6 × the most of one broker), 3 at least", lambda one: count(kafka_brokers(one)))
    yield row("subjects", "instances × types each has", lambda one: count(one.instances * of("types that an instance has")))
    yield row("memory of the subjects in each nats-server", "subjects × a subject's", lambda one: size(one.instances * of("types that an instance has") * of("nats-server, a subject, memory")))
    yield row("ids in a window of 15 minutes", "busiest hour × 900 s", lambda one: count(one.busiest_hour * 900))
    yield row("memory of the ids in each nats-server", "ids × an id's", lambda one: size(one.busiest_hour * 900 * of("nats-server, an id of the window, memory")))
    yield row("disk of JetStream, 7 days, three replicas", "a day's × bytes × 7 × 3", lambda one: size(one.day * of("JetStream, a message, disk") * days * 3))
    yield row("disk of Kafka, 7 days, three replicas", "a day's × bytes × 7 × 3", lambda one: size(one.day * of("Kafka, a record, disk") * days * 3))
    yield row("written by brokers in the busiest second", "busiest second × bytes × 3", lambda one: size(one.peak * of("JetStream, a message, disk") * 3))
    yield row("journals, an hour without the broker", "busiest hour × bytes × 3,600", lambda one: size(one.busiest_hour * HOUR * of("journal, a record of a backlog, disk")))
    yield row("lanes in each journal, their memory", "instances ÷ bridges × 2.3 KB", lambda one: f"{count(lanes(one))}, {size(lanes(one) * of('lane, memory') * 1000)}")
    yield row("time to drain that hour", "records ÷ the lower rate, of all bridges or of all streams", lambda one: f"{one.busiest_hour * HOUR / (min(bridges(one) * of('backlog drained, JetStream'), limit * streams(one))):,.0f} s")


def table():
    """The lines under "Estimate"."""
    of = Figures()
    estimates = [Estimate(instances, of) for instances in SIZES]
    lines = ["| | calculated as | 1,000 instances | 100,000 | 1,000,000 |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(estimates, of))])
