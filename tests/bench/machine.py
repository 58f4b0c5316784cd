"""Processes: started, measured, and always ended."""

import atexit
import contextlib
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "tests/.cache"
TICKS = os.sysconf("SC_CLK_TCK")

running = []


class Broken(Exception):
    """The benchmark cannot go on; a missed target is no such thing."""


def free_port(held=[]):
    """A port that is free and was not given before. Runs beside each other begin to look at different ones."""
    for port in random.sample(range(21_000, 32_000), 11_000):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            if port not in held:
                held.append(port)
                return port
    raise Broken("no free port")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Process:
    """A process that listens on a port of this machine."""

    def __init__(self, command, port, log, **more):
        self.port, self.log = port, log
        began = time.perf_counter()
        with open(log, "ab") as out:
            # a group of its own: Ctrl-C ends this script, which ends its children in order
            self.child = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, **more,
            )
        running.append(self)
        # a start is measured too: asked often at first, and not for ever
        while not listens(port):
            if self.child.poll() is not None:
                raise Broken(f"{command[0]} ended; see {log}")
            if time.perf_counter() - began > 60:
                raise Broken(f"{command[0]} does not listen; see {log}")
            time.sleep(0.0005)
        self.listens_since = time.perf_counter()
        self.started_in = self.listens_since - began

    def cpu(self):
        """Seconds of CPU so far, all threads."""
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, what="VmHWM"):
        """Bytes: VmHWM, the most so far, or VmRSS, now."""
        for line in pathlib.Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
        raise Broken(f"process {self.child.pid} is gone; see {self.log}")

    def stop(self):
        if self in running:
            running.remove(self)
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def stop_all():
    for process in reversed(running[:]):
        process.stop()


def run(command, fine=(0,), within=60, **more):
    """Runs a command; what it says is shown only when it fails, which these exit codes do not mean."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=within, **more)
    except subprocess.TimeoutExpired as late:
        raise Broken(f"{' '.join(map(str, command))} does not end") from late
    if done.returncode not in fine:
        raise Broken(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepare():
    """Enough file descriptors for ten thousand connections, and an end for every child."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 40_000 if most == resource.RLIM_INFINITY else min(40_000, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    atexit.register(stop_all)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: exit(143))
