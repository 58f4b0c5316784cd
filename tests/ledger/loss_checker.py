"""The checker: what was answered 200 against what arrived. Shares nothing with the bridge.

An id is the first half of the SHA-256 of a body, so each arrival says by itself whether it was altered.
"""

import collections
import dataclasses
import hashlib

WHOLE = (1, 1)


@dataclasses.dataclass(frozen=True)
class Answered:
    """A line of a sender's ledger: one notification that was answered 200."""

    instance: str
    sequence: int
    id: str
    stored: str
    at: int  # Unix milliseconds

    @classmethod
    def read(cls, line):
        instance, sequence, identity, status, stored, at = line.rstrip("\n").split("\t")
        if status != "200":
            raise ValueError(f"a line of a ledger that is no 200: {line!r}")
        return cls(instance, int(sequence), identity, stored, int(at))


@dataclasses.dataclass(frozen=True)
class Arrival:
    """One record of a topic, or one message of a stream, as a consumer saw it."""

    group: str  # topic or stream: what holds the order
    shard: int  # partition; 0 for a stream
    position: int
    key: str  # whose it is, from the key in the broker
    id: str
    body: bytes
    part: tuple = WHOLE  # (1, 3) of a dead letter that was cut
    destination: str = ""

    def identity(self):
        return identity(self.body)


@dataclasses.dataclass
class Verdict:
    answered: int = 0
    arrived: int = 0
    lost: list = dataclasses.field(default_factory=list)
    altered: list = dataclasses.field(default_factory=list)
    disordered: list = dataclasses.field(default_factory=list)
    twice: list = dataclasses.field(default_factory=list)
    in_two_forms: list = dataclasses.field(default_factory=list)


def identity(body):
    return hashlib.sha256(body).hexdigest()[:32]


class LossChecker:
    """Takes arrivals one after the other, in any order of groups; in order of position within each."""

    def __init__(self, answered):
        self.answered = {line.id: line for line in answered}
        self.arrivals_of = collections.Counter()  # (id, part)
        self.firsts = []  # of each id: (group, shard, position, id, key)
        self.parts = {}  # (id, count): {number: body}
        self.whole = set()
        self.destinations = {}  # id: where it came first
        self.verdict = Verdict(answered=len(self.answered))
        self.placed = set()

    def arrival(self, it):
        self.verdict.arrived += 1
        key = (it.id, it.part)
        self.arrivals_of[key] += 1
        if self.arrivals_of[key] > 1:
            self.verdict.twice.append(f"{it.id} part {it.part[0]}/{it.part[1]} again at {it.group}/{it.shard}/{it.position}")
        if it.part == WHOLE:
            if it.identity() == it.id:
                self.whole.add(it.id)
            else:
                self.verdict.altered.append(f"{it.id} at {it.group}/{it.shard}/{it.position}: other bytes")
        else:
            self.parts.setdefault((it.id, it.part[1]), {}).setdefault(it.part[0], it.body)
        line = self.answered.get(it.id)
        if line and it.key != line.instance:
            self.verdict.altered.append(f"{it.id} at {it.group}/{it.position}: key {it.key}, of {line.instance}")
        # a dead letter of one topic among others has an order of its own
        if (it.group, it.id) not in self.placed:
            self.placed.add((it.group, it.id))
            self.firsts.append((it.group, it.shard, it.position, it.id))
            self.destinations.setdefault(it.id, it.destination)

    def verdict_of_all(self):
        self._join()
        for line in self.answered.values():
            if line.id not in self.whole:
                text = f"{line.id} of {line.instance}, number {line.sequence}, answered {line.stored} at {line.at}"
                self.verdict.lost.append(text)
        self._order()
        return self.verdict

    def _join(self):
        """What came in parts is whole if one way of cutting it is complete; it may be there in more than one form."""
        for (of, count), parts in self.parts.items():
            if len(parts) < count:
                continue
            if identity(b"".join(parts[number] for number in sorted(parts))) != of:
                self.verdict.altered.append(f"{of}: its {count} parts are not the body")
                continue
            if of in self.whole:
                self.verdict.in_two_forms.append(f"{of} also in {count} parts")
            self.whole.add(of)

    def _order(self):
        """First occurrences of an instance in a group must come as they were sent, and on one partition."""
        last = {}
        for group, shard, position, of in sorted(self.firsts):
            line = self.answered.get(of)
            if line is None:
                continue
            before = last.get((group, line.instance))
            if before and (before[0] > line.sequence or before[1] != shard):
                where = f"{group}/{shard}/{position}"
                text = f"{of} of {line.instance}: number {line.sequence} at {where} after {before[0]} at {before[1:]}"
                self.verdict.disordered.append(text)
                if before[0] > line.sequence:
                    continue
            last[group, line.instance] = (line.sequence, shard, position)
