"""Every scenario and its verdict. See tests/scale/run --help."""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/ledger"))

from environment import CACHE, prepare  # noqa: E402
import estimate  # noqa: E402
from ledger import self_test  # noqa: E402
from servers import Nats  # noqa: E402

from distribution import distribution  # noqa: E402
from fleet import Outcome, Stage  # noqa: E402
from hashed import add_at_once, add_replica, failover, hashed  # noqa: E402
from rolling import rolling, rolling_kill  # noqa: E402
from sidecar import sidecar, sidecar_alone, sidecar_journal  # noqa: E402

# Each group has a broker of its own, and the groups run side by side: they wait more than they compute.
GROUPS = [
    {"rolling": rolling, "rolling-kill": rolling_kill, "distribution": distribution},
    {"hashed": hashed, "failover": failover, "add-replica": add_replica, "add-at-once": add_at_once},
    {"sidecar": sidecar, "sidecar-journal": sidecar_journal, "sidecar-alone": sidecar_alone},
]
ALL = [name for group in GROUPS for name in group]
HEAD = ["scenario", "answered", "arrived", "lost", "altered", "disorder", "twice", "journal", "not 200", "broken", "kills", "time"]
printing = threading.Lock()


def say(text):
    with printing:
        print(text, flush=True)


def arguments():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario", action="append", choices=ALL, metavar="NAME")
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args()


class Group:
    """Scenarios with one broker, one after the other."""

    def __init__(self, scenarios, folder, seed):
        self.scenarios, self.folder, self.seed, self.outcomes = scenarios, folder, seed, {}

    def run(self):
        try:
            broker = Nats(self.folder / "nats")
        except Exception as broken:  # noqa: BLE001 - the other groups are still worth their time
            self.outcomes = {name: Outcome([], [f"no broker: {broken}"]) for name in self.scenarios}
            return
        for name, scenario in self.scenarios.items():
            chance = random.Random(f"{self.seed} {name}")
            stage = Stage(ALL.index(name), self.folder / name, broker, chance, lambda text, name=name: say(f"{name}: {text}"))
            say(f"{name}: {scenario.__doc__}")
            try:
                broker.restore()
                outcome = scenario(stage)
            except Exception as broken:  # noqa: BLE001 - nor do the other scenarios suffer
                outcome = Outcome([], [f"broken off, {type(broken).__name__}: {broken}"])
            self.outcomes[name] = outcome
            stage.say("; ".join(outcome.problems) if outcome.problems else f"ok, {outcome.figures[-1]}")


def table(outcomes):
    lines = [HEAD]
    for name, outcome in outcomes.items():
        cells = [f"{cell:,}" if isinstance(cell, int) else cell for cell in outcome.figures]
        lines.append([name, *(cells or ["broken off"] + [""] * (len(HEAD) - 2))])
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    for line, outcome in zip(lines, [None, *outcomes.values()], strict=True):
        cells = [cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(line, widths))]
        print(" " if outcome is None else "✗" if outcome.problems else "✓", "  ".join(cells).rstrip())
    print("failover and add-at-once do what nobody should: there must be disorder.")


def check_page():
    """The estimate in docs/scale.md is what the figures there give."""
    if estimate.table() not in (ROOT / "docs/scale.md").read_text():
        sys.exit("docs/scale.md: the table under Estimate is not what its figures give; print it with tests/bench/scale estimate")


def main():
    options = arguments()
    self_test()
    check_page()
    prepare()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    wanted = options.scenario or ALL
    base = CACHE / "scale"
    base.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=base))
    say(f"seed {seed}; scenarios: {', '.join(wanted)}")
    began, groups = time.monotonic(), []
    for number, group in enumerate(GROUPS):
        scenarios = {name: scenario for name, scenario in group.items() if name in wanted}
        if scenarios:
            (folder / str(number)).mkdir()
            groups.append(Group(scenarios, folder / str(number), seed))
    threads = [threading.Thread(target=group.run, daemon=True) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = {name: outcome for group in groups for name, outcome in group.outcomes.items()}
    print()
    table(outcomes)
    wrong = {name: outcome for name, outcome in outcomes.items() if outcome.problems}
    for name, outcome in wrong.items():
        print(f"✗ {name}:", *outcome.problems, sep="\n    ")
    print(f"seed {seed}, {time.monotonic() - began:.0f} s; again: tests/scale/run --seed {seed}")
    if wrong or options.keep:
        print(f"Logs and ledgers: {folder}")
    else:
        shutil.rmtree(folder)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
