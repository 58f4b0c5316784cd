"""What the journal costs beside a broker, how fast it keeps, and how fast a backlog goes."""

import os
import shutil
import statistics
import time

import report
from machine import Broken, run
from programs import BRIDGE, EXAMPLES, Bridge, Direct, configured

INSTANCES = 256
# One instance alone has as many records as make a measurement of some seconds.
ALONE = 20
MB = 1024 * 1024


def section_of(folder, name, first=False):
    """`[journal]` in a folder of its own."""
    timeout = '[publish]\ntimeout = "0s"\n' if first else ""
    return f'{timeout}[journal]\ndirectory = "{folder / name}"\nmax_bytes = "6GiB"\n'


def measure(broker, folder, level, arguments):
    """Everything about one broker; without one, of the journal alone."""
    figures = {"first": first(broker, folder, level, arguments)}
    if broker:
        figures["beside"] = beside(broker, folder, level, arguments)
        figures["backlog"] = backlog(broker, folder, level, INSTANCES, arguments.backlog, arguments.repeat, arguments)
        figures["alone"] = backlog(broker, folder, level, 1, max(1, arguments.backlog // ALONE), 1, arguments)
    return figures


def in_turns(rows, broker, level, rounds, seconds):
    """The figures of both rows in each round, the order turned round every time."""
    figures = {row.name: [] for row in rows}
    for row in rows:
        row.measure(level, 1)
    for turn in range(rounds):
        began = time.monotonic()
        for row in rows if turn % 2 == 0 else reversed(rows):
            if broker:
                broker.trim()
            figures[row.name].append(row.measure(level, seconds))
            if broker and isinstance(row, Bridge) and row.stored == "journal":
                # what is still forwarded would slow the next one down; the metric is a second old at most
                time.sleep(1)
                forwarded(row, broker, lambda: row.metric("journal_records", broker) == 0)
        progress(rows[0].name, turn, rounds, figures[rows[0].name][-1], began)
    return figures


def progress(what, turn, rounds, mine, began):
    print(f"  {what}, round {turn + 1} of {rounds}: {mine['per_second']:6.0f}/s, {mine['cpu']:5.1f} µs  "
          f"({time.monotonic() - began:.0f} s)", flush=True)


def builds(name, arguments):
    """This build of the bridge and those it is compared with: what their rows are called, and their programs."""
    return [(name, BRIDGE), *((f"{name}, {program.name}", program) for program in arguments.against)]


def first(broker, folder, level, arguments):
    """The journal first, against the shortest program that keeps the same rows."""
    kept = folder / ("first" if broker else "embedded")
    bridges = [
        Bridge(broker, folder, section_of(kept, name, first=bool(broker)), name=name, stored="journal", program=program)
        for name, program in builds("journal first", arguments)
    ]
    config, *_ = configured(broker, folder, section_of(kept, "bare"))
    bare = Direct("bare group commit", ("bench-bare-journal", config))
    try:
        return in_turns([*bridges, bare], broker, level, arguments.repeat, arguments.seconds)
    finally:
        for bridge in bridges:
            bridge.process.stop()
        shutil.rmtree(kept, ignore_errors=True)


def beside(broker, folder, level, arguments):
    """A healthy broker, with a journal and without."""
    rows = [
        Bridge(broker, folder, section_of(folder, name), name=name, program=program)
        for name, program in builds("with a journal", arguments)
    ]
    rows.append(Bridge(broker, folder, name="no journal"))
    try:
        return in_turns(rows, broker, level, 2 * arguments.repeat, arguments.seconds)
    finally:
        for row in rows:
            row.process.stop()


def backlog(broker, folder, level, instances, records, rounds, arguments):
    """A bridge that starts with so many records, against a publisher without HTTP and disk that has as many in flight."""
    bare = Direct("direct, no HTTP", (f"bench-direct-{broker.name}", broker.server))
    level = level._replace(connections=instances)
    full, copy = folder / "full", folder / "copy"
    config, *_ = configured(broker, folder, section_of(folder, "full"))
    run([EXAMPLES / "bench-fill-journal", config, records, instances], within=900)
    bridges = builds("drained", arguments)
    figures = {name: [] for name, _ in bridges} | {bare.name: []}
    for turn in range(rounds):
        began = time.monotonic()
        broker.trim()
        figures[bare.name].append(bare.measure(level, 3))
        for name, program in bridges if turn % 2 == 0 else reversed(bridges):
            broker.trim()
            shutil.copytree(full, copy)
            os.sync()
            figures[name].append(drained(broker, folder, records, program))
            shutil.rmtree(copy)
        progress(f"backlog of {records:,}", turn, rounds, figures["drained"][-1], began)
    shutil.rmtree(full)
    broker.trim()
    return figures


def drained(broker, folder, records, program):
    bridge = Bridge(broker, folder, section_of(folder, "copy"), name="with a backlog", program=program)
    process = bridge.process
    took = forwarded(bridge, broker, lambda: bridge.metric("journal_forwarded_total", broker) >= records) - process.listens_since
    figures = {"sent": records, "per_second": records / took, "cpu": process.cpu() / records * 1e6,
               "memory": process.memory(), "start": process.started_in}
    process.stop()
    return figures


def forwarded(bridge, broker, done):
    """When that was so: what is owed must change meanwhile."""
    before, since = None, time.perf_counter()
    while not done():
        owed = bridge.metric("journal_records", broker)
        if owed != before:
            before, since = owed, time.perf_counter()
        if time.perf_counter() - since > 30:
            raise Broken(f"{owed:.0f} records are owed and not forwarded; see {bridge.process.log}")
        time.sleep(0.1)
    return time.perf_counter()


def compared(figures, key):
    """The first row's figure, of the last's: the median of what each round gives."""
    mine, *_, its = figures.values()
    return statistics.median(one[key] / other[key] for one, other in zip(mine, its, strict=True))


def table(title, figures):
    print(f"\n{title}, the journal: medians; CPU in µs a notification")
    print(f"{'':10}{'':20}{'per second':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU':>8}{'memory MB':>11}{'start ms':>10}")
    for what, rows in figures.items():
        print(f"{what}, {rows['drained'][0]['sent']:,} records" if "drained" in rows else what)
        for name, rounds in rows.items():
            row = report.median_of(rounds)
            memory = f"{row['memory'] / MB:11.1f}" if row["memory"] else f"{'':11}"
            waits = f"{row['p50']:9.2f}{row['p99']:9.2f}" if "p50" in row else f"{'':18}"
            start = f"{row['start'] * 1000:10.0f}" if "start" in row else ""
            print(f"{'':10}{name:20}{row['per_second']:11.0f}{waits}{row['cpu']:8.1f}{memory}{start}")


def compare(title, figures, arguments):
    """This bridge against other builds of it."""
    for program in arguments.against:
        print(f"\n{title}, the journal: this bridge, of {program.name}'s; ✗ where it is more than 5 % worse")
        for what, rows in figures.items():
            mine = next(iter(rows))
            pair = {name: rows[name] for name in (mine, f"{mine}, {program.name}")}
            said = (report.against(title, compared(pair, key), key) for key, title in report.COMPARED if key in rows[mine][0])
            print(f"  {what:10}{'   '.join(said)}")


def judgements(figures):
    """What, the figure, its unit, and the most (or least) it should be."""
    kept = figures["first"]
    yield "journal first, throughput of a bare group commit's", compared(kept, "per_second"), "x", ">=", 0.4
    yield "journal first, p99 of a bare group commit's", compared(kept, "p99"), "x", "<=", 3
    if "beside" in figures:
        yield "a journal beside a healthy broker, throughput", compared(figures["beside"], "per_second"), "x", ">=", 0.97
        yield "forwarding a backlog, of a bare publisher's", compared(figures["backlog"], "per_second"), "x", ">=", 0.5
        rounds = figures["backlog"]["drained"]
        yield "memory meanwhile", max(row["memory"] for row in rounds) / MB, "MB", "<=", 60
        yield "from start to listening with the backlog", max(row["start"] for row in rounds) * 1000, "ms", "<=", 1000
