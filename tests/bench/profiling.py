"""The measuring part of tests/bench/profile: what the bridge spends its time on under load."""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import brokers
import programs
from bench import RESULTS, Level
from machine import ROOT, Broken, prepare, run, stop_all

# The first that matches names the group. Time in the kernel is grouped by the system call.
GROUPS = [
    ("malloc, free", r"malloc|calloc|realloc|\bc?free\b|_int_|__rust_(alloc|dealloc|realloc)|unlink_chunk|tcache"),
    ("memory copies, compares", r"mem(cpy|move|set|cmp|chr)"),
    ("sha2", r"sha2|sha256|digest_blocks"),
    ("librdkafka", r"\brd_|rd_kafka|^rk|rdkafka|crc32|tinycthread|cnd_|mtx_"),
    ("async-nats", r"async_nats"),
    ("bridge: parse", r"greenapi_bridge::notification|serde_json|serde::"),
    ("bridge: route, message", r"greenapi_bridge::(route|message)|percent_encoding"),
    ("bridge: deliver", r"greenapi_bridge::deliver"),
    ("bridge: brokers", r"greenapi_bridge::brokers"),
    ("bridge: admit, receive, serve", r"greenapi_bridge::(admit|receive|serve)"),
    ("bridge: metrics", r"greenapi_bridge::observe|prometheus"),
    ("hyper, http", r"hyper|httparse|^http::|http_body"),
    ("tokio: timers", r"tokio::(runtime::)?time"),
    ("tokio", r"tokio|mio::"),
    ("formatting", r"core::fmt|alloc::fmt|itoa"),
    ("hashing, tables", r"hashbrown|siphash|core::hash|std::hash"),
    ("clock", r"clock_gettime|vdso|std::time|\[vdso\]"),
    ("locks of libc", r"pthread|lll_|__new_sem"),
]
# The frame that enters a system call is named after it in one of these ways.
CALL = re.compile(r"^(?:__x64_sys_|__arm64_sys_|__se_sys_|__sys_|ksys_|do_)(\w+)$")
ENTRIES = ("do_syscall_64", "el0_svc_common.constprop.0", "invoke_syscall")


def call(frames):
    """The system call the kernel was in, or what else brought it there."""
    names = [name for name, _ in frames]
    for inner, outer in zip(names, names[1:]):
        if outer in ENTRIES:
            found = CALL.match(inner)
            return found[1] if found else "the thread was taken off, or other threads woke"
    return "interrupts, entry and exit"


def group(frames):
    """The group of one sample, from its frames, the innermost first; each is (symbol, object)."""
    symbol, where = frames[0]
    if where.startswith(("[kernel", "[guest")):
        return f"kernel: {call(frames)}"
    return next((name for name, pattern in GROUPS if re.search(pattern, f"{symbol} {where}")), "other")


def samples(text):
    """Each sample's frames, from what `perf script -F ip,sym,dso` prints: a blank line ends a sample."""
    for block in text.split("\n\n"):
        frames = []
        for line in block.splitlines():
            parts = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
            if parts:
                frames.append((re.sub(r"\+0x[0-9a-f]+$|::h[0-9a-f]{16}", "", parts[1]), parts[2]))
        if frames:
            yield frames


def sampled(row, level, seconds, data):
    """Figures of a program under load, and its samples."""
    recorder = subprocess.Popen(
        ["perf", "record", "-q", "-F", "1999", "-g", "-o", data, "-p", str(row.process.child.pid)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    figures = row.measure(level, seconds)
    recorder.terminate()
    _, complaint = recorder.communicate()
    found = list(samples(run(["perf", "script", "-i", data, "-F", "ip,sym,dso"])))
    if not found:
        raise Broken(f"perf has no samples: {complaint}")
    return figures, found


def costs(names, of, cost):
    """What each name costs, in microseconds a notification."""
    return collections.Counter({name: count / of * cost for name, count in collections.Counter(names).items()})


def profile(make, arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bridge-profile-"))
    try:
        broker, level = make(folder), Level("", arguments.connections, 0)
        bridge, *others = programs.start(broker, folder, quick=True)
        shortest = [row for row in others if row.name.startswith("shortest")][-1]
        groups = []
        for row in (shortest, bridge):
            row.measure(level, 3)
            broker.trim()
            data = RESULTS / f"profile-{broker.name}-{row.name.replace(' ', '-')}.data"
            figures, found = sampled(row, level, arguments.seconds, data)
            groups.append(costs(map(group, found), len(found), figures["cpu"]))
            print(f"\n{broker.title}, {row.name}, {arguments.connections} connections: {figures['per_second']:.0f}/s, "
                  f"{figures['cpu']:.1f} µs of CPU a notification while watched, {len(found)} samples")
        its, mine = groups
        print(f"\nµs a notification, by group\n{'':2}{'bridge':>8}{'shortest':>10}")
        for name, cost in mine.most_common(arguments.most):
            print(f"{'':2}{cost:8.2f}{its[name]:10.2f}  {name}")
        print("\nµs a notification, by symbol; the bridge alone")
        symbols = (f"{symbol}  [{pathlib.Path(where).name.strip('[]')}]" for (symbol, where), *_ in found)
        for name, cost in costs(symbols, len(found), figures["cpu"]).most_common(arguments.most):
            print(f"{'':2}{cost:8.2f}  {name[:120]}")
        print(f"\nMore: perf report -g -i {data.relative_to(ROOT)}")
    finally:
        stop_all()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--broker", choices=["nats", "kafka"], action="append")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--most", type=int, default=20)
    arguments = parser.parse_args()
    prepare()
    RESULTS.mkdir(exist_ok=True)
    for make in (brokers.Nats, brokers.Kafka):
        if make.name in (arguments.broker or ["nats", "kafka"]):
            profile(make, arguments)


if __name__ == "__main__":
    try:
        main()
    except Broken as broken:
        stop_all()
        sys.exit(f"profile: {broken}")
