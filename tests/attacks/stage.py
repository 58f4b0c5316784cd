"""A bridge, its broker and its certificates; and one measurement: quiet, attacked, and after."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import statistics
import sys
import threading
import time
import urllib.request
from typing import NamedTuple

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

from brokers import Nats  # noqa: E402, F401
from good_sender import WINDOW, GoodSender, Target, p99  # noqa: E402
from machine import Broken, Process, free_port, prepare, run, stop_all  # noqa: E402, F401

BRIDGE = pathlib.Path(os.environ["ATTACKS_BRIDGE"])
TOKEN = "a-token-that-stays-valid"
KIB, MIB = 1024, 1024 * 1024
# the defaults of [http.limits], of which the bound of the memory follows
HEAD_BYTES, IN_FLIGHT_BYTES = 128 * KIB, 64 * MIB
CONNECTION = 16 * KIB  # of a connection itself: its state, and the buffer that it began with
QUIET = 4 * WINDOW
WITHIN = 3  # times the p99 of the quiet time
BACK = 30  # seconds for connections and memory to come back


class Authority:
    """A test authority, and certificates of it for this machine."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.path, self.count = folder, folder / "ca.pem", 0
        self.openssl("ca", "/CN=test authority", "basicConstraints=critical,CA:TRUE")

    def openssl(self, name, subject, extension, *more):
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 9,
             "-subj", subject, "-addext", extension, "-keyout", key, "-out", certificate, *more])
        return certificate, key

    def issue(self):
        """A new certificate with a new key: both files."""
        self.count += 1
        return self.openssl(
            f"server-{self.count}", "/CN=bridge", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-CA", self.path, "-CAkey", self.folder / "ca.key",
        )


class Stage:
    """A bridge that a good sender sends to."""

    def __init__(self, nats, folder, name, authority=None, connections=4096):
        self.nats, self.folder, self.authority, self.connections = nats, folder / name, authority, connections
        self.folder.mkdir()
        self.admin, self.is_tls = free_port(), authority is not None
        self.tokens = self.folder / "tokens"
        self.tokens.write_text(TOKEN + "\n")
        self.tokens.chmod(0o600)
        self.target = Target(free_port(), str(authority.path) if authority else None, TOKEN)
        tls = ""
        if authority:
            (self.folder / "tls").mkdir()
            for new, at in zip(authority.issue(), self.files()):
                new.rename(at)
            tls = '[http.tls]\ncertificate_file = "tls/tls.crt"\nkey_file = "tls/tls.key"\n'
        self.config = self.folder / "bridge.toml"
        self.config.write_text(
            f'[http]\nlisten = "127.0.0.1:{self.target.port}"\n{tls}[http.limits]\nconnections = {connections}\n'
            f'[auth]\ntokens_file = "tokens"\n[admin]\nlisten = "127.0.0.1:{self.admin}"\n{nats.section()}'
        )
        self.provision()
        command = [BRIDGE, "run", "--config", self.config]
        self.process = Process(command, self.target.port, self.folder / "bridge.log", cwd=self.folder)
        self.wait_until_ready()

    def files(self):
        """The certificate and its key."""
        return self.folder / "tls/tls.crt", self.folder / "tls/tls.key"

    def provision(self):
        """A broker listens before it takes streams."""
        for tries_left in reversed(range(30)):
            try:
                return run([BRIDGE, "provision", "--config", self.config])
            except Broken:
                if tries_left == 0:
                    raise
                time.sleep(0.5)

    def get(self, path):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as said:
                return said.read().decode()
        return ""

    def wait_until_ready(self):
        for _ in range(300):
            if self.get("/readyz"):
                return
            time.sleep(0.1)
        raise Broken(f"the bridge does not become ready; see {self.process.log}")

    def metric(self, name):
        """The sum over all series with this name, or with this name and these labels."""
        found = re.findall(rf"^greenapi_bridge_{re.escape(name)}(?:{{.*}})? (\S+)$", self.get("/metrics"), re.MULTILINE)
        return sum(float(value) for value in found)

    def stored(self):
        """How many messages the stream has."""

        async def ask():
            import nats

            client = await nats.connect(self.nats.server, allow_reconnect=False)
            said = await client.request("$JS.API.STREAM.INFO.GREENAPI", b"", timeout=10)
            await client.close()
            return json.loads(said.data)["state"]["messages"]

        return asyncio.run(ask())

    def bound(self, quiet):
        """The most memory that the documented limits allow."""
        return quiet + self.connections * (HEAD_BYTES + CONNECTION) + IN_FLIGHT_BYTES

    def stop(self):
        self.process.stop()


class Watch(threading.Thread):
    """Looks at memory and connections until it is over."""

    def __init__(self, stage):
        super().__init__(daemon=True)
        self.stage, self.over = stage, threading.Event()
        self.memory, self.connections = 0, 0

    def run(self):
        while not self.over.wait(0.2):
            with contextlib.suppress(Broken, OSError):
                self.memory = max(self.memory, self.stage.process.memory("VmRSS"))
                self.connections = max(self.connections, self.stage.metric("connections"))


class Done(NamedTuple):
    """What an attack did, what is wrong beyond the figures of the good sender, and what was stored besides its own."""

    said: str
    problems: list = []
    stored: int = 0


class Measured(NamedTuple):
    """What a good sender and the bridge were like: quiet, attacked, and after."""

    sent: int
    refused: int
    failed: int
    stored: int
    quiet: tuple  # p99 on open connections, and with a new one
    attacked: tuple
    connections: int
    memory: tuple  # quiet, most, after
    back: float | None
    attack: object
    problems: list

    def ratios(self):
        return [attacked / quiet for attacked, quiet in zip(self.attacked, self.quiet)]


def both(samples, begin, end):
    kinds = [[sample for sample in samples if sample.is_new == is_new] for is_new in (False, True)]
    return tuple(p99(kind, begin, end) for kind in kinds)


def wait_until_back(stage, quiet):
    """How long connections and memory take to come back after the attack; none if they do not."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < BACK:
        if stage.metric("connections") <= 20 and stage.process.memory("VmRSS") <= quiet + 24 * MIB:
            return passed
        time.sleep(0.2)
    return None


def measure(stage, attack):
    """A good sender before, during and after an attack, which is a function that returns its figures when it is over."""
    before = stage.stored()
    sender = GoodSender(stage.target)
    watch = Watch(stage)
    try:
        time.sleep(1.5)  # connections are opened
        begin = time.monotonic()
        time.sleep(QUIET)
        attacked, quiet_memory = time.monotonic(), stage.process.memory("VmRSS")
        watch.start()
        figures = attack(stage)
        end = time.monotonic()
        back = wait_until_back(stage, quiet_memory)
        watch.over.set()
        samples = sender.stop()
    finally:
        watch.over.set()
        sender.kill()
    problems = [sample.problem for sample in samples if sample.problem]
    refused = sum(problem.startswith("refused") for problem in problems)
    return Measured(
        sent=len(samples), refused=refused, failed=len(problems) - refused, stored=stage.stored() - before,
        quiet=both(samples, begin, attacked), attacked=both(samples, attacked, end), connections=int(watch.connections),
        memory=(quiet_memory, watch.memory, stage.process.memory("VmRSS")), back=back, attack=figures,
        problems=problems[:3],
    )


def middle(repetitions):
    """The ratios that count: of each kind the median."""
    return [statistics.median(ratios) for ratios in zip(*repetitions)]
