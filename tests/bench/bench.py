"""The measuring part of tests/bench/run, which builds and fetches what this needs."""

import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import pathlib
import shutil
import socket
import statistics
import sys
import tempfile
import time

import brokers
import journal
import programs
import report
import tls
from machine import ROOT, Broken, listens, prepare, stop_all

RESULTS = ROOT / "tests/bench/.results"
WINDOW = 250_000

# `each`: notifications a second of each connection, 0: as fast as they are answered.
Level = collections.namedtuple("Level", "name connections each")
LEVELS = [Level("1", 1, 0), Level("16", 16, 0), Level("64", 64, 0), Level("256", 256, 0), Level("1000/s", 20, 50)]
FEWER = [LEVELS[0], LEVELS[2], LEVELS[4]]


def say(text):
    print(text, flush=True)


def measure(broker, rows, levels, repeat, seconds):
    """The figures of each level and program in each round, the order turned round every time."""
    figures = {level.name: {row.name: [] for row in rows} for level in levels}
    # a Java broker has compiled itself only after a while
    for row in rows * 2:
        row.measure(Level("warm-up", 64, 0), 2)
    for turn in range(repeat):
        for level in levels:
            began = time.monotonic()
            broker.trim()
            for row in rows if turn % 2 == 0 else reversed(rows):
                before = broker.process.cpu()
                figure = row.measure(level, seconds)
                figure["broker_cpu"] = (broker.process.cpu() - before) / figure["sent"] * 1e6
                figures[level.name][row.name].append(figure)
            mine = figures[level.name][rows[0].name][-1]
            say(f"  round {turn + 1} of {repeat}, {level.name:>6}: {mine['per_second']:6.0f}/s, "
                f"{mine['cpu']:5.1f} µs  ({time.monotonic() - began:.0f} s)")
    return figures


def full_window(broker, folder):
    """The memory of a bridge, under load, that remembers as many notifications as it ever does."""
    bridge = programs.Bridge(broker, folder)
    sent = 0
    while sent < WINDOW:
        sent += bridge.measure(Level("fill", 64, 0), 3)["sent"]
        broker.trim()
    bridge.measure(Level("full", 256, 0), 2)
    most = bridge.process.memory("VmHWM")
    bridge.process.stop()
    return most


def starts(broker, folder, count):
    """Seconds from its start until it takes connections."""
    times = []
    for _ in range(count):
        bridge = programs.Bridge(broker, folder)
        times.append(bridge.process.started_in)
        bridge.process.stop()
    return statistics.median(times)


def idle_connections(broker, folder):
    """The memory of a bridge with many open connections, each of which has sent a notification."""
    bridge = programs.Bridge(broker, folder, f"[http.limits]\nconnections = {tls.IDLE + 2000}\n")
    try:
        with programs.idle_connections(bridge.port, bridge.token_file, tls.IDLE):
            return bridge.process.memory("VmRSS")
    finally:
        bridge.process.stop()


def second_worker(broker, folder):
    """The throughput of two workers, of that of one: with repeats of a large body, so that it is the bridge that has the
    most to do, and not the broker or this script."""
    bridges = [programs.Bridge(broker, folder, workers=count) for count in (1, 2)]
    try:
        rounds = [[large_repeats(bridge, 2) for bridge in bridges] for _ in range(3)]
        return statistics.median(two / one for one, two in rounds)
    finally:
        for bridge in bridges:
            bridge.process.stop()


def large_repeats(bridge, seconds):
    """How many are answered in so many seconds over 16 connections."""
    body = f'{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":7}},"text":"{"x" * 500_000}"}}'
    request = (
        f"POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {bridge.token_file.read_text().strip()}\r\n\r\n{body}"
    ).encode()

    def repeat(until):
        with socket.create_connection(("127.0.0.1", bridge.port), timeout=20) as connection:
            for count in itertools.count():
                if time.monotonic() > until:
                    return count
                connection.sendall(request)
                if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise Broken("a repeat was not answered 200")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return sum(pool.map(repeat, [time.monotonic() + seconds] * 16))


def section(make, arguments):
    """Everything about one broker."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    try:
        broker = make(folder)
        say(f"\n{broker.title}: {broker.version}")
        rows = programs.start(broker, folder, arguments.quick, arguments.against)
        say(f"  {len(rows)} programs: {', '.join(row.name for row in rows)}")
        levels = FEWER if arguments.quick else LEVELS
        figures = measure(broker, rows, levels, arguments.repeat, arguments.seconds)
        for row in rows:
            if isinstance(row, programs.Served):
                row.process.stop()
        say("  memory with a full window of duplicates, start, idle connections, a second worker")
        once = {"window_memory": full_window(broker, folder), "start": starts(broker, folder, 5 if arguments.quick else 11),
                "idle_memory": idle_connections(broker, folder), "second_worker": second_worker(broker, folder)}
        return {"broker": broker.name, "title": broker.title, "version": broker.version, "rounds": figures, "once": once,
                "median": {level: {row: report.median_of(rounds) for row, rounds in of.items()} for level, of in figures.items()}}
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def kept(make, arguments):
    """What the journal costs: beside a broker, or alone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    try:
        broker = make(folder) if make else None
        title = broker.title if broker else "No broker"
        say(f"\n{title}: the journal")
        return {"title": title, "rounds": journal.measure(broker, folder, LEVELS[2], arguments)}
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def encrypted(make, arguments):
    """What TLS costs; the broker matters little."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    try:
        broker = make(folder)
        say(f"\nTLS, with {broker.title}")
        return tls.measure(broker, folder, arguments)
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def program(path):
    path = pathlib.Path(path).resolve()
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is not a program")
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--broker", choices=["nats", "kafka"], action="append")
    parser.add_argument("--only", choices=["programs", "journal", "tls"])
    parser.add_argument("--backlog", type=int)
    parser.add_argument("--against", type=program, action="append", default=[])
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    arguments.repeat = arguments.repeat or (3 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (1 if arguments.quick else 2)
    arguments.backlog = arguments.backlog or (100_000 if arguments.quick else 1_000_000)
    prepare()
    wanted = [make for make in (brokers.Nats, brokers.Kafka) if make.name in (arguments.broker or ["nats", "kafka"])]
    RESULTS.mkdir(exist_ok=True)
    if arguments.only in (None, "programs"):
        sections = [section(make, arguments) for make in wanted]
        for one in sections:
            report.table(one)
            report.verdict(one)
            for other in arguments.against:
                report.compare(one, other.name)
        (RESULTS / "bench.json").write_text(json.dumps(sections, indent=1))
        (RESULTS / "bench.svg").write_text(report.chart(sections))
    if arguments.only in (None, "tls"):
        figures = encrypted(wanted[0], arguments)
        tls.table(figures)
        report.judged("TLS", tls.judgements(figures))
        (RESULTS / "tls.json").write_text(json.dumps(figures, indent=1))
    if arguments.only in (None, "journal"):
        sections = [kept(make, arguments) for make in [None, *wanted]]
        for one in sections:
            journal.table(one["title"], one["rounds"])
            journal.compare(one["title"], one["rounds"], arguments)
            report.judged(f"{one['title']}, the journal", journal.judgements(one["rounds"]))
        (RESULTS / "journal.json").write_text(json.dumps(sections, indent=1))
    say(f"\nRaw figures and chart: {RESULTS.relative_to(ROOT)}/bench.json, bench.svg, tls.json, journal.json")


if __name__ == "__main__":
    try:
        main()
    except Broken as broken:
        stop_all()
        sys.exit(f"bench: {broken}")
    except KeyboardInterrupt:
        sys.exit(130)
