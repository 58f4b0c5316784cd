"""Where things are, and what is shared with the benchmarks: processes that are always ended, and ports."""

import contextlib
import os
import pathlib
import random
import socket
import sys
import threading

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))

from machine import CACHE, Broken, Process, listens, prepare, run  # noqa: E402, F401

# the program under test; tests/ledger/run builds it
BRIDGE = pathlib.Path(os.environ["LEDGER_BRIDGE"])
JARS = (CACHE / "kafka/lib").resolve()
CONSUMERS = ROOT / "tests/consumers"
PYTHON = CACHE / "python/bin/python"

_ports, _given = threading.Lock(), set()


def free_port():
    """One that is free and was not given before; other tests on this machine look elsewhere first."""
    with _ports:
        for port in random.sample(range(12_000, 20_000), 1000):
            with contextlib.suppress(OSError), socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
                if port not in _given:
                    _given.add(port)
                    return port
    raise Broken("no free port")
