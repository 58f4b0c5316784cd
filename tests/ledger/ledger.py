"""The loss oracle: every scenario on every broker, and its verdict. See tests/ledger/run --help."""

import argparse
import dataclasses
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time
import unittest

from environment import CACHE, Broken, prepare

from servers import KINDS
from disks import Skipped
from scenarios import KILLING, SCENARIOS, SHORT
from scenario_run import ScenarioRun

HEAD = ["scenario", "broker", "answered", "arrived", "lost", "altered", "disorder", "twice", "journal", "503s", "kills", "time"]
SHOWN = 3  # of each kind of problem
printing = threading.Lock()


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--notifications", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--rate", type=int)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, metavar="NAME")
    parser.add_argument("--broker", choices=KINDS)
    parser.add_argument("--no-journal", dest="journal", action="store_false")
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args()


def say(text):
    with printing:
        print(text, flush=True)


@dataclasses.dataclass
class Row:
    scenario: str
    broker: str
    figures: list
    problems: list
    skipped: str = ""


class Series:
    """All scenarios of one broker, one after the other."""

    def __init__(self, kind, folder, options):
        self.kind, self.folder, self.options, self.rows = kind, folder, options, []
        self.brokers = {}

    def broker(self, kind):
        if kind not in self.brokers:
            self.brokers[kind] = KINDS[kind](self.folder / kind)
        self.brokers[kind].restore()
        return self.brokers[kind]

    def run(self):
        for number, name in enumerate(self.options.scenario):
            scenario = SCENARIOS[name]()
            # with both brokers it is one run, among those of the slower
            if scenario.both and self.kind != self.options.kinds[-1] or self.kind not in scenario.kinds:
                continue
            if scenario.needs_journal and not self.options.journal:
                self.rows.append(Row(name, self.kind, [], [], "needs the journal"))
                continue
            try:
                self.one(number, name, scenario)
            except Skipped as why:
                say(f"{self.kind} {name}: skipped, {why}")
                self.rows.append(Row(name, self.kind, [], [], str(why)))
            except Exception as broken:  # noqa: BLE001 - the other scenarios are still worth their time
                say(f"{self.kind} {name}: broken off, {type(broken).__name__}: {broken}")
                self.rows.append(Row(name, self.kind, [], [f"broken off, {type(broken).__name__}: {broken}"]))

    def one(self, number, name, scenario):
        began = time.monotonic()
        kinds = ["nats", "kafka"] if scenario.both else [self.kind]
        chance = random.Random(f"{self.options.seed} {name} {self.kind}")
        run = ScenarioRun(
            f"l{number}", self.folder / name, [self.broker(kind) for kind in kinds], chance,
            lambda text: say(f"{self.kind} {name}: {text}"), self.options,
        )
        try:
            scenario.prepare(run)
            self.faults(name, scenario, run)
            for broker in run.brokers:
                broker.restore()
            run.wait_until_drained()
            self.check_arrivals(name, scenario, run, began)
        finally:
            run.close()

    def faults(self, name, scenario, run):
        options = self.options
        count = options.share or scenario.seconds * options.rate
        kills = options.kills // (len(KILLING) * len(options.kinds)) + 1 if options.kills and name in KILLING else None
        # slow enough for all that is to go wrong to come while it sends
        seconds = kills * scenario.pace if kills else scenario.seconds
        rate = min(options.rate, max(1, int(count / seconds)))
        run.send(count, rate, scenario.large)
        scenario.round(run)
        # a sender that gets nowhere is a problem, and no reason to go on for ever
        deadline = time.monotonic() + 120 + 5 * count / rate
        while run.sending() and time.monotonic() < deadline:
            if kills is None or run.bridge.kills + run.broker_kills < kills:
                scenario.round(run)
            else:
                run.sleep(0.5)

    def check_arrivals(self, name, scenario, run, began):
        checkers = {broker.name: (broker, *run.check_arrivals(broker)) for broker in run.brokers}
        run.problems += scenario.check(run, {kind: checker for kind, (_, checker, _) in checkers.items()})
        if run.bridge.ends and not scenario.ends:
            run.problems.append(f"the bridge ended by itself {run.bridge.ends} times")
        figures = [sender.figures() for sender in run.senders]
        refused = sum(of["answered"].get("503", 0) for of in figures)
        journalled = sum(of["stored"].get("journal", 0) for of in figures)
        for kind, (_, _, verdict) in checkers.items():
            problems = list(run.problems)
            limits = {
                "lost": True, "altered": True, "disordered": True, "twice": kind == "nats" or not scenario.unknown,
                "in_two_forms": not scenario.two_forms,
            }
            for what, counts in limits.items():
                found = getattr(verdict, what)
                if counts and found:
                    problems.append(f"{len(found)} {what.replace('_', ' ')}:")
                    problems += [f"  {one}" for one in found[:SHOWN]]
            found = [len(of) for of in (verdict.lost, verdict.altered, verdict.disordered, verdict.twice)]
            row = [verdict.answered, verdict.arrived, *found, journalled, refused, run.bridge.kills + run.broker_kills]
            row.append(f"{time.monotonic() - began:.0f} s")
            self.rows.append(Row(name, kind, row, problems))
            word = "WRONG" if problems else "ok"
            say(f"{kind} {name}: {word}; {verdict.answered:,} answered 200, {verdict.arrived:,} arrived, {found[3]} twice; {row[-1]}")
            for problem in problems:
                say(f"  {problem}")


def table(rows):
    """The verdict; whether all is well."""
    lines = [HEAD]
    for row in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else cell for cell in row.figures]
        lines.append([row.scenario, row.broker, *(cells or [f"skipped: {row.skipped}" if row.skipped else "broken off"])])
    full = [line for line in lines if len(line) == len(HEAD)]
    widths = [max(len(line[column]) for line in full) for column in range(len(HEAD))]
    for line, row in zip(lines, [None, *rows], strict=True):
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths))]
        if len(line) < len(HEAD):
            cells = [line[0].ljust(widths[0]), line[1].ljust(widths[1]), line[2]]
        mark = " " if row is None or row.skipped else "✗" if row.problems else "✓"
        print(f"{mark} {'  '.join(cells)}".rstrip())


def count_skips(rows):
    """Tells tests/run what this machine does not allow."""
    if path := os.environ.get("BRIDGE_TEST_SKIPS"):
        with open(path, "a", encoding="utf-8") as skips:
            skips.writelines(f"{row.scenario}, {row.broker}: {row.skipped}\n" for row in rows if row.skipped)


def self_test():
    tests = unittest.defaultTestLoader.loadTestsFromName("loss_checker_test")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(tests)
    if not result.wasSuccessful():
        sys.exit(1)


def main():
    options = arguments()
    self_test()
    prepare()
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    options.scenario = options.scenario or (SHORT if options.short else list(SCENARIOS))
    options.kinds = [options.broker] if options.broker else list(KINDS)
    options.rate = options.rate or (1500 if options.notifications else 300)
    runs = sum(kind in SCENARIOS[name].kinds for name in options.scenario for kind in options.kinds)
    options.share = options.notifications and options.notifications // max(1, runs) + 1
    base = CACHE / "ledger"
    base.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=base))
    say(f"seed {options.seed}; scenarios: {', '.join(options.scenario)}; on {' and '.join(options.kinds)}")
    series = []
    for kind in options.kinds:
        (folder / kind).mkdir()
        series.append(Series(kind, folder / kind, options))
    threads = [threading.Thread(target=one.run, daemon=True) for one in series]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [row for one in series for row in one.rows]
    print()
    table(rows)
    count_skips(rows)
    wrong = [row for row in rows if row.problems]
    for row in wrong:
        print(f"✗ {row.scenario} on {row.broker}:", *row.problems, sep="\n    ")
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s; again: tests/ledger/run {' '.join(sys.argv[1:])}".rstrip()
          + ("" if "--seed" in sys.argv else f" --seed {options.seed}"))
    if wrong or options.keep:
        print(f"Logs and ledgers: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if wrong or not rows else 0)


if __name__ == "__main__":
    main()
