"""The rows: this bridge, and what it is compared with."""

import contextlib
import json
import os
import pathlib
import socket
import urllib.error
import urllib.request
import time

from machine import CACHE, ROOT, Broken, Process, children_cpu, free_port, run

RELEASE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BRIDGE = RELEASE / "greenapi-bridge"
EXAMPLES = RELEASE / "examples"
GO = CACHE / "bench/go"
MQ_BRIDGE = CACHE / "bench/mq-bridge"


def load(port, token_file, level, seconds, success, stored):
    """Sends to a program, and returns the summary with what the sender itself cost."""
    before = children_cpu()
    said = run([
        BRIDGE, "send", "--json", "--url", f"http://127.0.0.1:{port}/green-api/webhook/", "--token-file", token_file,
        "--instances", level.connections, "--rate", level.each, "--duration", f"{seconds * 1000:.0f}ms",
        # what is no success to GREEN-API, and to the sender, may be one here
        "--types", "incomingMessageReceived", "--give-up", 0, "--pause", "1ns",
    ], fine=(0, 1))
    return summary(said, children_cpu() - before, success, stored)


def summary(said, cpu, success="200", stored="broker"):
    figures = json.loads(said)
    sent, answered = figures["sent"], figures["answered"].get(success, 0)
    # a duplicate costs next to nothing, so none may be among them
    if sent == 0 or answered != sent or set(figures.get("stored", ())) - {stored}:
        raise Broken(f"not all were answered {success} and stored: {said}")
    wait = figures["latency_ms"]
    return {
        "sent": sent, "per_second": sent / figures["seconds"], "p50": wait["p50"], "p99": wait["p99"],
        "sender_cpu": cpu / sent * 1e6,
    }


class Served:
    """A program that answers HTTP, with this status where it has stored."""

    stored = "broker"

    def __init__(self, name, command, folder, token_file, port=None, success="200", **more):
        self.name, self.token_file, self.folder, self.success = name, token_file, folder, success
        self.port = port or free_port()
        words = [word if word != "ADDRESS" else f"127.0.0.1:{self.port}" for word in command]
        self.process = Process(words, self.port, folder / f"{name.replace(' ', '-')}.log", **more)

    def measure(self, level, seconds):
        before = self.process.cpu()
        figures = load(self.port, self.token_file, level, seconds, self.success, self.stored)
        figures["cpu"] = (self.process.cpu() - before) / figures["sent"] * 1e6
        figures["memory"] = self.process.memory()
        return figures


def configured(broker, folder, extra="", workers=1):
    """A configuration of this bridge: its file, and its ports. Without a broker everything stays in its journal."""
    port, admin = free_port(), free_port()
    token_file, config = folder / "tokens", folder / f"bridge-{port}.toml"
    if not token_file.exists():
        token_file.write_text("a-token-for-the-benchmark\n")
        token_file.chmod(0o600)
    config.write_text(
        f'[http]\nlisten = "127.0.0.1:{port}"\nworkers = {workers}\n[auth]\ntokens_file = "{token_file}"\n'
        f'[admin]\nlisten = "127.0.0.1:{admin}"\n{broker.section() if broker else ""}{extra}'
    )
    return config, port, admin, token_file


def certificate_in(folder):
    """A certificate and its key; for this machine, and trusted where it is named."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if not certificate.exists():
        run([EXAMPLES / "bench-certificate", folder])
    return certificate, key


def tls_section(folder):
    certificate, key = certificate_in(folder)
    return f'[http.tls]\ncertificate_file = "{certificate}"\nkey_file = "{key}"\n'


@contextlib.contextmanager
def idle_connections(port, token_file, count, encrypt=lambda connection: connection):
    """Open connections, each of which has sent a notification."""
    token, held = token_file.read_text().strip(), []
    try:
        for number in range(count):
            body = f'{{"typeWebhook":"incomingCall","instanceData":{{"idInstance":{number}}}}}'
            request = (
                f"POST /green-api/webhook/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            )
            connection = encrypt(socket.create_connection(("127.0.0.1", port), timeout=20))
            held.append(connection)
            connection.sendall(request.encode())
            if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
                raise Broken("an idle connection was not answered 200")
        yield
    finally:
        for connection in held:
            connection.close()


class Bridge(Served):
    """A bridge with a configuration of its own: this one, or another build of it."""

    def __init__(self, broker, folder, extra="", workers=1, name="this bridge", stored="broker", program=BRIDGE):
        self.config, port, self.admin, token_file = configured(broker, folder, extra, workers)
        self.stored, self.program = stored, program
        self.provision()
        name = name if workers == 1 else f"this, {workers} workers"
        super().__init__(name, [program, "run", "--config", self.config], folder, token_file, port)
        self.wait_until_ready()

    def provision(self):
        """A broker listens before it takes streams and topics."""
        for tries_left in reversed(range(30)):
            try:
                return run([self.program, "provision", "--config", self.config])
            except Broken:
                if tries_left == 0:
                    raise
                time.sleep(0.5)

    def wait_until_ready(self):
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=2):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise Broken(f"the bridge does not become ready; see {self.process.log}")

    def metric(self, name, broker):
        """A metric of this broker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as said:
            for line in said.read().decode().splitlines():
                if line.startswith(f'greenapi_bridge_{name}{{broker="{broker.name}"}} '):
                    return float(line.split()[1])
        raise Broken(f"no metric {name} of {broker.name}")


class Direct:
    """A program that publishes without HTTP: started for each measurement."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def measure(self, level, seconds):
        before = children_cpu()
        words = [EXAMPLES / self.command[0], self.command[1], level.connections, level.each, seconds]
        # its best linger: none where one waits for it, some where many can be gathered
        said = run([*words, 1 if level.connections >= 64 and not level.each else 0])
        figures = summary(said, children_cpu() - before)
        figures["cpu"], figures["memory"] = figures.pop("sender_cpu"), None
        return figures


def start(broker, folder, quick, against=()):
    """All programs of one broker, this bridge first; they run side by side and take their turns."""
    bridge = Bridge(broker, folder)
    others = [Bridge(broker, folder, name=path.name, program=path) for path in against]

    def served(name, *command, **more):
        return Served(name, command, folder, bridge.token_file, **more)

    strict = Bridge(broker, folder, '[validation]\nmode = "strict"\n', name="this, strict")
    programs = [bridge, *others, strict, served("bare hyper", EXAMPLES / "bench-bare", "ADDRESS")]
    shortest = EXAMPLES / f"bench-shortest-{broker.name}"
    if broker.name == "nats":
        programs.append(served("shortest", shortest, "ADDRESS", broker.server))
    else:
        for linger in (0, 1):
            programs.append(served(f"shortest, linger {linger}", shortest, "ADDRESS", broker.server, linger))
    programs.append(Direct("direct, no HTTP", (f"bench-direct-{broker.name}", broker.server)))
    if quick:
        return programs
    programs.append(Bridge(broker, folder, workers=2))
    if GO.exists():
        programs.append(served("Go", GO, broker.name, "ADDRESS", broker.server))
    if (MQ_BRIDGE / "ready").exists():
        route = [MQ_BRIDGE / "bin/python", ROOT / "tests/bench/http_to_broker.py", "ADDRESS", broker.name, broker.server]
        programs.append(served("mq-bridge", *route, success="202"))
    return programs
