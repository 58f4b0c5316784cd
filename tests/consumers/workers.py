"""The consumers as processes."""

import atexit
import os
import subprocess
import time

from confluent_kafka import KafkaException
from environment import CACHE, ROOT, Broken

BUILT = CACHE / "consumers"
COMMANDS = {
    "python": [BUILT / "python/bin/python", ROOT / "tests/consumers/python/consume.py"],
    "node": ["node", BUILT / "node/built/consume.js"],
    "go": [BUILT / "go/consume"],
    "java": ["java", "-cp", f"{BUILT}/java/classes:{BUILT}/java/lib/*", "Consume"],
}
PATIENCE = 60


class Wrong(Exception):
    """What a consumer did is not what it must do."""


def until(what, reached, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            raise Wrong(f"not within {patience} s: {what}")
        time.sleep(0.1)


class Consumer:
    """A consumer at work; what it prints says which events it took."""

    def __init__(self, command, log):
        self.log, self.out = log, log.with_suffix(".out")
        environment = {**os.environ, "PYTHONPATH": str(BUILT / "python-types")}
        with open(log, "ab") as errors, open(self.out, "ab") as out:
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment
            )

        atexit.register(self.child.kill)

    def ended_by_itself(self):
        return self.child.poll() is not None

    def until(self, what, reached):
        def reached_or_ended():
            if self.ended_by_itself():
                raise Wrong(f"ended by itself, exit code {self.child.returncode}: {self.log.read_text()[-2000:]}")
            return reached()

        until(what, reached_or_ended)

    def end(self):
        self.child.terminate()
        try:
            code = self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise Wrong("does not end within 20 s of SIGTERM") from None
        if code not in (0, 143):  # a Java program that ends in order after SIGTERM says 143
            raise Wrong(f"exit code {code} after SIGTERM: {self.log.read_text()[-2000:]}")

    def took(self):
        return [line.split()[0] for line in self.out.read_text().splitlines()]


def of_group(language, broker, group, ledger, log):
    return Consumer([*COMMANDS[language], broker.name, broker.address, group, ledger], log)


def tolerant(ask):
    """A group that does not exist yet is at no position."""
    try:
        return ask()
    except (Broken, KafkaException):
        return 0
