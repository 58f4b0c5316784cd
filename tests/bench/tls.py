"""What TLS costs: notifications over connections that stay open, beside plain HTTP; and beside a bare rustls server with
the same settings, handshakes and connections that wait."""

import contextlib
import resource
import socket
import ssl
import statistics
import subprocess
import time

import report
from machine import Broken, Process, children_cpu, free_port, run
from programs import EXAMPLES, Bridge, certificate_in, idle_connections, summary, tls_section

IDLE = 10_000
# Handshakes that are begun and not ended; the default allows 512 at a time.
PENDING = 2_000
SENDERS = 16
KINDS = ("full", "resumed")
# Connections that stay open, each with one notification in flight.
OPEN = (1, 16, 64, 256)
KIB = 1024

LIMITS = (
    f"[http.limits]\nconnections = {IDLE + 2000}\nhandshakes = {PENDING + 1}\n"
    'handshake = "10m"\nidle = "10m"\n'
)


class Server:
    """A process that answers HTTPS."""

    def __init__(self, name, process, token_file):
        self.name, self.process, self.token_file = name, process, token_file

    def handshakes(self, kind, seconds, certificate):
        """Connections of this kind in so many seconds, each with one request; the rate, and the CPU of each."""
        before, sender = self.process.cpu(), children_cpu()
        said = run([
            EXAMPLES / "bench-handshakes", f"127.0.0.1:{self.process.port}", SENDERS, 0, seconds, certificate,
            self.token_file.read_text().strip(), kind,
        ])
        figures = summary(said, children_cpu() - sender)
        # those that begin the sessions are not among the sent ones, and count here
        figures["cpu"] = (self.process.cpu() - before) / (figures["sent"] + 2 * SENDERS) * 1e6
        return figures


class Kept:
    """A process that answers HTTP, or HTTPS if the sender has a certificate to trust, over connections that stay open."""

    def __init__(self, name, process, token_file, certificate=None):
        self.name, self.process, self.token_file, self.certificate = name, process, token_file, certificate

    def measure(self, connections, seconds):
        """The figures of the time after every connection is open and has had an answer."""
        words = [
            EXAMPLES / "bench-keep-alive", f"127.0.0.1:{self.process.port}", connections, 0, seconds,
            self.token_file.read_text().strip(), *([self.certificate] if self.certificate else []),
        ]
        before_sender = children_cpu()
        with subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            if sender.stdout.readline() != "open\n":
                raise Broken(f"{self.name}: the connections could not be opened")
            before = self.process.cpu()
            said, _ = sender.communicate("\n", timeout=seconds + 60)
        if sender.returncode != 0:
            raise Broken(f"{self.name}: a notification was not answered 200")
        figures = summary(said, children_cpu() - before_sender)
        figures["cpu"] = (self.process.cpu() - before) / figures["sent"] * 1e6
        return figures


@contextlib.contextmanager
def kept(broker, folder):
    """The bridge and a bare server, each without TLS and with it, all just started."""
    encrypted, bare = servers(broker, folder)
    certificate, _ = certificate_in(folder)
    plain, port = Bridge(broker, folder), free_port()
    hyper = Process([EXAMPLES / "bench-bare", f"127.0.0.1:{port}"], port, folder / "bare-hyper.log")
    token_file = plain.token_file
    rows = [
        Kept(report.MINE, plain.process, token_file), Kept(report.TLS, encrypted.process, token_file, certificate),
        Kept(report.BARE, hyper, token_file), Kept("bare rustls", bare.process, token_file, certificate),
    ]
    try:
        yield rows
    finally:
        for row in rows:
            row.process.stop()


def keep_alive(broker, rows, arguments):
    """The figures of each count of connections and row in each round, the order turned round every time."""
    figures = {str(count): {row.name: [] for row in rows} for count in OPEN}
    for row in rows * 2:
        row.measure(OPEN[-1], 1)
    for turn in range(arguments.repeat):
        for count in OPEN:
            broker.trim()
            for row in rows if turn % 2 == 0 else reversed(rows):
                figures[str(count)][row.name].append(row.measure(count, arguments.seconds))
        print(f"  kept connections, round {turn + 1} of {arguments.repeat}", flush=True)
    return figures


def servers(broker, folder):
    """The bridge and the bare server, both just started."""
    certificate, key = certificate_in(folder)
    bridge = Bridge(broker, folder, tls_section(folder) + LIMITS)
    port = free_port()
    bare = Process([EXAMPLES / "bench-bare-tls", f"127.0.0.1:{port}", certificate, key], port, folder / "bare-rustls.log")
    return [Server(report.MINE, bridge.process, bridge.token_file), Server("bare rustls", bare, bridge.token_file)]


@contextlib.contextmanager
def running(broker, folder):
    rows = servers(broker, folder)
    try:
        yield rows
    finally:
        for row in rows:
            row.process.stop()


def measure(broker, folder, arguments):
    """Everything; None instead of what this machine does not allow."""
    certificate, _ = certificate_in(folder)
    figures = {}
    with kept(broker, folder) as rows:
        figures["kept"] = keep_alive(broker, rows, arguments)
    with running(broker, folder) as rows:
        for kind in KINDS:
            figures[kind] = in_turns(rows, kind, certificate, arguments)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = files == resource.RLIM_INFINITY or files >= IDLE + 3000
    with running(broker, folder) as rows:
        figures["idle"] = {row.name: idle(row, certificate) for row in rows} if allowed else None
    with running(broker, folder) as rows:
        figures["pending"] = {row.name: pending(row) for row in rows}
    return figures


def in_turns(rows, kind, certificate, arguments):
    """The figures of both rows in each round, the order turned round every time."""
    figures = {row.name: [] for row in rows}
    for row in rows:
        row.handshakes(kind, 1, certificate)
    for turn in range(arguments.repeat):
        began = time.monotonic()
        for row in rows if turn % 2 == 0 else reversed(rows):
            figures[row.name].append(row.handshakes(kind, arguments.seconds, certificate))
        mine = figures[rows[0].name][-1]
        print(f"  {kind} handshakes, round {turn + 1} of {arguments.repeat}: {mine['per_second']:6.0f}/s, "
              f"{mine['cpu']:5.1f} µs  ({time.monotonic() - began:.0f} s)", flush=True)
    return figures


def idle(row, certificate):
    """Bytes of memory of each connection that has sent a notification and waits."""
    context = ssl.create_default_context(cafile=certificate)
    before = row.process.memory("VmRSS")
    with idle_connections(
        row.process.port, row.token_file, IDLE, lambda plain: context.wrap_socket(plain, server_hostname="localhost")
    ):
        return (row.process.memory("VmRSS") - before) / IDLE


def pending(row):
    """Bytes of memory of each handshake whose client falls silent after the answer to its first message."""
    context, held = ssl.create_default_context(), []
    before = row.process.memory("VmRSS")
    try:
        for _ in range(PENDING):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            with contextlib.suppress(ssl.SSLWantReadError):
                context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
            connection = socket.create_connection(("127.0.0.1", row.process.port), timeout=20)
            held.append(connection)
            connection.sendall(outgoing.read())
            if not connection.recv(16 * KIB):
                raise Broken("a handshake was not answered")
        return (row.process.memory("VmRSS") - before) / PENDING
    finally:
        for connection in held:
            connection.close()


def ratio(rounds, key, names=None):
    """The first one's figure, of the second one's: the median of what each round gives."""
    mine, its = (rounds[name] for name in names or rounds)
    return statistics.median(one[key] / other[key] for one, other in zip(mine, its, strict=True))


def table(figures):
    print("\nTLS: medians; CPU in µs a connection, memory in KiB of each connection")
    print(f"{'':10}{'':20}{'per second':>11}{'p50 ms':>9}{'p99 ms':>9}{'CPU':>8}{'sender CPU':>12}")
    for kind in KINDS:
        print(f"{kind} handshakes, with one request each")
        for name, rounds in figures[kind].items():
            row = report.median_of(rounds)
            print(f"{'':10}{name:20}{row['per_second']:11.0f}{row['p50']:9.2f}{row['p99']:9.2f}{row['cpu']:8.1f}"
                  f"{row['sender_cpu']:12.1f}")
    for count, rows in figures["kept"].items():
        print(f"{count} connections that stay open")
        for name, rounds in rows.items():
            row = report.median_of(rounds)
            print(f"{'':10}{name:20}{row['per_second']:11.0f}{row['p50']:9.2f}{row['p99']:9.2f}{row['cpu']:8.1f}")
        bare = ratio(rows, "cpu", ("bare rustls", report.BARE))
        print(f"{'':10}CPU over TLS, of plain HTTP's: bare {bare:.2f}")
    for what, title in (("idle", f"{IDLE:,} idle connections"), ("pending", f"{PENDING:,} handshakes in progress")):
        for name, memory in (figures[what] or {}).items():
            print(f"{title}: {name} {memory / KIB:.1f} KiB each")


def judgements(figures):
    """What, the figure, its unit, and the most (or least) it should be."""
    for count, rows in figures["kept"].items():
        yield f"CPU at {count} over TLS, of plain HTTP's", ratio(rows, "cpu", (report.TLS, report.MINE)), "x", "<=", 1.2
    for kind in KINDS:
        yield f"{kind} handshakes, of a bare rustls's", ratio(figures[kind], "per_second"), "x", ">=", 0.9
        yield f"CPU of a {kind} handshake, of a bare rustls's", ratio(figures[kind], "cpu"), "x", "<=", 1.1
    for what, title in (("idle", "memory of an idle connection"), ("pending", "memory of a handshake in progress")):
        if figures[what] is None:
            yield f"{title}, of a bare rustls's", None, "too few open files (ulimit -n)", "<=", 1.5
        else:
            mine, its = figures[what].values()
            yield f"{title}, of a bare rustls's", mine / its, "x", "<=", 1.5
