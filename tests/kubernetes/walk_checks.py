"""A newcomer's walk through docs/kubernetes.md: from the chart to a notification in a broker, each command as written."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

from control_plane import CACHE, HERE, PROGRAMS, ROOT
from machine import Broken, Process, free_port

PAGE = ROOT / "docs/kubernetes.md"
SECTION = "## From the chart to a notification in a broker"
BRIDGE = os.environ.get("BRIDGE_TEST_PROGRAM", str(ROOT / "target/debug/greenapi-bridge"))
# What must be said, in this order.
SAID = [
    "secret/bridge-tokens created",
    "stream GREENAPI created",
    "successfully rolled out",
    "✓ fine",
    "3 notifications sent",
    '{"stored":"broker"}',
    "[4] greenapi.state.1101000001.stateInstanceChanged",
]


def commands():
    """The shell blocks of the section, as one script."""
    section = PAGE.read_text().split(SECTION + "\n")[1].split("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if len(found) < 5:
        raise Broken(f"{len(found)} blocks of commands in {PAGE}")
    return "set -euxo pipefail\n" + "".join(found)


def prepare(folder, nats):
    """The folder in which the walk happens, and the programs that it finds first."""
    (folder / "bin").mkdir(parents=True)
    (folder / "deploy").mkdir()
    for path in (ROOT / "deploy").iterdir():
        if path.name != "build-image":
            (folder / "deploy" / path.name).symlink_to(path)
    for name in ("bin/kubectl", "bin/helm", "bin/docker", "bin/git", "deploy/build-image"):
        (folder / name).symlink_to(HERE / "walk_programs.py")
    walk = folder / "walk.json"
    walk.write_text(json.dumps({
        "programs": str(PROGRAMS), "folder": str(folder), "nats": nats, "bridge": BRIDGE, "python": sys.executable,
        "view": str(HERE / "walk_view.py"),
    }))
    return walk


def start_nats(folder):
    port = free_port()
    server = CACHE / "python/bin/nats-server"
    words = [server, "--jetstream", "--store_dir", folder / "jetstream", "--addr", "127.0.0.1", "--port", port]
    return Process(words, port, folder / "nats.log")


def walk(cluster, folder):
    """What the commands printed."""
    server = start_nats(folder)
    state = prepare(folder / "walk", f"nats://127.0.0.1:{server.port}")
    path = f"{folder}/walk/bin:{pathlib.Path(sys.executable).parent}:{cluster.environment['PATH']}"
    environment = {**cluster.environment, "PATH": path, "WALK": str(state)}
    child = subprocess.Popen(
        ["bash", "-c", commands()], cwd=folder / "walk", env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )
    try:
        # the port-forward that the page leaves in the background holds the pipe open: the script's end is the end
        said = read_until_end(child)
    finally:
        # the bridge and the port-forward are of the same session
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        server.stop()
    return said, child.returncode


def read_until_end(child, within=900):
    """What it says until the script itself ends."""
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True)
    reader.start()
    try:
        child.wait(within)
    except subprocess.TimeoutExpired as late:
        raise Broken(f"not done within {within} s:\n{''.join(lines)}") from late
    reader.join(2)
    return "".join(lines)


def check_walk(cluster):
    """Every command succeeds, and the notification is in the stream."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 3000))  # the page's own port must be free
    folder = cluster.scratch / "newcomer"
    folder.mkdir()
    said, code = walk(cluster, folder)
    position = 0
    if code != 0:
        raise Broken(f"a command ends with exit code {code}:\n{said}")
    for part in SAID:
        found = said.find(part, position)
        if found < 0:
            raise Broken(f"{part!r} is not said after {position} characters of:\n{said}")
        position = found + len(part)
    cluster.helm("uninstall", "greenapi-bridge", "--namespace", "greenapi", "--wait")
    print(f"{len(commands().splitlines())} lines of docs/kubernetes.md, as written")


PARTS = [("from the chart to a notification in a broker, with processes in the place of containers", check_walk)]
