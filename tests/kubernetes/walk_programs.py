#!/usr/bin/env python3
"""kubectl, helm and what builds the image for the walk through docs/kubernetes.md: the real ones, but for what needs a container
or the internet. What a container would do, a process does: it gets its configuration, its files and its arguments from the objects in
the cluster, and only the addresses are other ones. The variable WALK names a file that says where everything is."""

import asyncio
import gzip
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

WALK = json.loads(pathlib.Path(os.environ["WALK"]).read_text())
PROGRAMS = pathlib.Path(WALK["programs"])
FOLDER = pathlib.Path(WALK["folder"])


def real(program, *words, **more):
    """What the real program printed."""
    return subprocess.run([PROGRAMS / program, *words], capture_output=True, text=True, check=True, **more).stdout


def instead(program, *words):
    """Becomes the real program."""
    os.execv(PROGRAMS / program, [program, *words])


def named(words, flag):
    return words[words.index(flag) + 1]


def get(namespace, kind, name):
    return json.loads(real("kubectl", "--namespace", namespace, "get", kind, name, "--output", "json"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def mount(namespace, volume, folder):
    """A projected volume, as the kubelet writes it."""
    for source in volume["projected"]["sources"]:
        (kind, reference), = source.items()
        data = get(namespace, kind, reference["name"])["data"]
        for item in reference["items"]:
            file = folder / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            text = data[item["key"]]
            if kind == "secret":
                text = subprocess.run(["base64", "-d"], input=text, capture_output=True, text=True, check=True).stdout
            file.write_text(text)
            file.chmod(volume["projected"]["defaultMode"])


def start(namespace, workload):
    """The container of the workload's pod as a process; its ports and its environment."""
    kind, _, name = workload.partition("/")
    pod = get(namespace, kind, name)["spec"]["template"]["spec"]
    container = pod["containers"][0]
    folder = FOLDER / name
    mount(namespace, next(one for one in pod["volumes"] if "projected" in one), folder)
    ports = {section: free_port() for section in ("http", "admin", "probes")}
    environment = {"PATH": os.environ["PATH"], "BRIDGE_NATS__SERVERS": json.dumps([WALK["nats"]])}
    environment |= {f"BRIDGE_{section.upper()}__LISTEN": f"127.0.0.1:{port}" for section, port in ports.items()}
    environment |= {one["name"]: one["value"].replace("/etc/greenapi-bridge", str(folder)) for one in container["env"]}
    with open(FOLDER / "bridge.log", "ab") as log:
        child = subprocess.Popen([WALK["bridge"], *container["args"]], env=environment, stdout=log, stderr=log)
    state = {"pid": child.pid, "ports": ports, "environment": environment}
    (FOLDER / "process.json").write_text(json.dumps(state))
    return state


def process(namespace, workload):
    """The process of this workload, started when it is first asked for."""
    file = FOLDER / "process.json"
    state = json.loads(file.read_text()) if file.exists() else start(namespace, workload)
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", state["ports"]["probes"])) == 0:
                return state
        time.sleep(0.1)
    sys.exit("the bridge does not listen")


async def forward(port, target):
    async def pipe(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        print(f"Forwarding from 127.0.0.1:{port}", flush=True)
        await server.serve_forever()


def run_exec(namespace, words):
    """kubectl exec: a command of the bridge, or the client that NATS has in a pod of its own."""
    before, command = words[: words.index("--")], words[words.index("--") + 1 :]
    if command[0] == "nats":
        os.execv(WALK["python"], [WALK["python"], WALK["view"], WALK["nats"], command[-1]])
    if command[0] != "/greenapi-bridge":
        sys.exit(f"{command[0]}: no such file in the image")
    workload = next(word for word in before if word.startswith(("deployment/", "statefulset/")))
    state = process(namespace, workload)
    os.execve(WALK["bridge"], [WALK["bridge"], *command[1:]], state["environment"])


def run_test(namespace, release):
    """helm test: what the hook's container runs, at the address of the process."""
    hooks = real("helm", "--namespace", namespace, "get", "hooks", release)
    pod = json.loads(real("kubectl", "create", "--dry-run=client", "--output", "json", "--filename", "-", input=hooks))
    state = process(namespace, f"deployment/{release}")
    address = f"127.0.0.1:{state['ports']['probes']}"
    words = [re.sub(rf"//{release}-internal:\d+/", f"//{address}/", word) for word in pod["spec"]["containers"][0]["args"]]
    if address not in " ".join(words):
        sys.exit(f"helm test asks {words}")
    os.execve(WALK["bridge"], [WALK["bridge"], *words], {"PATH": os.environ["PATH"]})


def kubectl(words):
    if "exec" in words:
        run_exec(named(words, "--namespace"), words)
    if "port-forward" in words:
        at = words.index("port-forward")
        state = process(named(words, "--namespace"), words[at + 1].replace("service/", "deployment/"))
        section = {3000: "http", 3001: "admin"}[int(words[at + 2])]
        asyncio.run(forward(int(words[at + 2]), state["ports"][section]))
    instead("kubectl", *words)


def helm(words):
    if words[:2] == ["repo", "add"]:
        print(f"{words[2]}: the internet is not asked")
    elif words[:3] == ["install", "nats", "nats/nats"]:
        instead("kubectl", "create", "namespace", named(words, "--namespace"))
    elif "test" in words:
        run_test(named(words, "--namespace"), words[words.index("test") + 1])
    else:
        instead("helm", *words)


def build_image(_words):
    """The image has tests of its own; this is the path of an archive."""
    archive = FOLDER / "image.tar.gz"
    archive.write_bytes(gzip.compress(b"image"))
    print(archive)


def docker(words):
    if words[0] == "load" and sys.stdin.read() != "image":
        sys.exit("docker load does not get the image")
    if words[0] == "build" and "COMMIT=0123456789ab" not in words:
        sys.exit("docker build does not get the commit")


def commit(_words):
    print("0123456789ab")


if __name__ == "__main__":
    name = pathlib.Path(sys.argv[0]).name
    {"kubectl": kubectl, "helm": helm, "docker": docker, "git": commit, "build-image": build_image}[name](sys.argv[1:])
