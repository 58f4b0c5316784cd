"""The bridge under attack: a row and a verdict for each attack. See tests/attacks/run --help."""

import pathlib
import shutil
import sys
import tempfile
import time

from stage import MIB, WITHIN, Authority, Broken, Nats, Stage, measure, middle, prepare, stop_all
from cases import CASES

HEAD = ["attack", "bridge", "connections", "open, p99 ms", "ratio", "new, p99 ms", "ratio", "refused", "failed", "memory MiB", "back s", ""]


def say(text):
    print(text, flush=True)


def wrong(stage, measured):
    """Whatever the attack was, this must hold."""
    done, most = measured.attack, measured.memory[1]
    stored = measured.sent - measured.refused - measured.failed + done.stored
    problems = list(done.problems)
    if measured.refused or measured.failed:
        problems.append(f"of the good sender {measured.refused} refused, {measured.failed} failed: {measured.problems}")
    if measured.stored != stored:
        problems.append(f"{stored} were answered 200, and {measured.stored} are stored")
    if most > stage.bound(measured.memory[0]):
        problems.append(f"memory above its bound: {most / MIB:.0f} MiB")
    if measured.back is None:
        problems.append(f"connections or memory do not come back: {stage.metric('connections'):.0f}, {measured.memory[2] / MIB:.0f} MiB")
    if stage.process.child.poll() is not None:
        problems.append(f"the bridge has ended; see {stage.process.log}")
    return problems


def row(name, kind, stage, measured, problems, slow):
    pairs = [f"{quiet * 1000:.1f} → {attacked * 1000:.1f}" for quiet, attacked in zip(measured.quiet, measured.attacked)]
    ratios = [f"{ratio:.1f}" for ratio in measured.ratios()]
    memory = " → ".join(f"{amount / MIB:.0f}" for amount in measured.memory) + f" (< {stage.bound(measured.memory[0]) / MIB:.0f})"
    back = "never" if measured.back is None else f"{measured.back:.1f}"
    return [
        name, kind, str(measured.connections), pairs[0], ratios[0], pairs[1], ratios[1],
        str(measured.refused), str(measured.failed), memory, back, "✗" if problems else "! p99" if slow else "✓",
    ]


def attack(name, kind, stage):
    """One attack, again where the good sender is slower than it may be; its row and its problems."""
    case, repetitions, problems = CASES[name], [], []
    while True:
        measured = measure(stage, case.attack)
        problems += wrong(stage, measured)
        repetitions.append(measured.ratios())
        say(f"    {measured.attack.said}")
        ratios = middle(repetitions)
        say(f"    of the good sender's {measured.sent}: p99 x {measured.ratios()[0]:.1f} on open connections, x {measured.ratios()[1]:.1f} with a new one")
        if not case.is_ratio_judged or max(ratios) <= WITHIN or len(repetitions) == 3 or problems:
            break
        say("    once more: one moment of a busy machine is not an attack")
    slow = case.is_ratio_judged and max(ratios) > WITHIN
    if slow:
        say(f"    ! the good sender's p99 is {max(ratios):.1f} times that of the quiet time, median of {len(repetitions)}")
    for problem in problems:
        say(f"    ✗ {problem}")
    return row(name, kind, stage, measured, problems, slow), problems


def stages(nats, folder, wanted):
    """Each bridge that is wanted, with its attacks."""
    for kind in ("plain", "TLS", "small"):
        names = [name for name in wanted if kind in CASES[name].on]
        if not names:
            continue
        authority = Authority(folder / "authority") if kind == "TLS" else None
        stage = Stage(nats, folder, kind, authority, connections=256 if kind == "small" else 4096)
        for name in names:
            yield kind, stage, name
        stage.stop()


def table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for number, row in enumerate(rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            say("  ".join("─" * width for width in widths))


EXPLAINED = """
open, new: the good sender's p99 on connections that stay open and with a new one, median of windows of 1.5 s, quiet → attacked.
memory: VmRSS quiet → most → after; the bound is the quiet memory + connections x (head_bytes + 16 KiB) + in_flight_bytes, by [http.limits].
back: after so many seconds the connections were closed and the memory was within 24 MiB of the quiet one."""


def main():
    wanted = sys.argv[1:] or list(CASES)
    prepare()
    folder, rows, failed = pathlib.Path(tempfile.mkdtemp(prefix="attacks-")), [HEAD], False
    began = time.monotonic()
    try:
        nats = Nats(folder)
        for kind, stage, name in stages(nats, folder, wanted):
            say(f"==> {name}, {kind}: {CASES[name].does} ({time.monotonic() - began:.0f} s)")
            try:
                cells, problems = attack(name, kind, stage)
            except (Broken, OSError, EOFError) as broken:  # the other attacks are still worth their time
                say(f"    ✗ broken off, {type(broken).__name__}: {broken}")
                cells, problems = [name, kind, *[""] * (len(HEAD) - 3), "✗"], ["broken off"]
            rows.append(cells)
            failed = failed or bool(problems)
    finally:
        stop_all()
    say("")
    table(rows)
    say(EXPLAINED)
    say(f"\n{'✗ an attack succeeds; logs are in ' + str(folder) if failed else '✓ every attack fails'} ({time.monotonic() - began:.0f} s)")
    if not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        sys.exit(f"broken off: {broken}")
