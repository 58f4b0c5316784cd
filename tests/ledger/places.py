"""Where things are, and what is shared with the benchmarks: processes that are always ended, and ports."""

import pathlib
import sys
import threading

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))

import machine  # noqa: E402
from machine import CACHE, Broken, Process, listens, prepare, run  # noqa: E402, F401
from programs import BRIDGE  # noqa: E402, F401

JARS = CACHE / "kafka/lib"
CONSUMERS = ROOT / "tests/consumers"
PYTHON = CACHE / "python/bin/python"

_ports = threading.Lock()


def free_port():
    with _ports:
        return machine.free_port()
