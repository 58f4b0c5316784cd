"""The image as a container runs it: an unpacked root, and the files that Kubernetes adds."""

import base64
import gzip
import http.client
import json
import pathlib
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))

from machine import CACHE, Broken, Process, listens, prepare, run, stop_all  # noqa: E402, F401

PYTHON = CACHE / "python/bin/python"
TOKEN = "a-token-of-this-test"
# as OpenShift gives them: any user, group 0
ANY_USER = "1234567000:0"
WEBHOOK, PROBES, READY = 3000, 3002, "http://127.0.0.1:3002/readyz"
# the folder of the configuration in the container
SETTINGS = "etc/greenapi-bridge"
# as the kubelet writes it; the address is that of this test's name server
RESOLV_CONF = "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n"


def config(brokers, more=""):
    return (
        f'[http]\nlisten = "0.0.0.0:{WEBHOOK}"\n[auth]\ntokens_file = "tokens"\n'
        f'[probes]\nlisten = "0.0.0.0:{PROBES}"\n{brokers}{more}'
    )


class Buildah:
    """buildah with a storage of its own."""

    def __init__(self, folder):
        policy = folder / "policy.json"
        # nothing is fetched, so no signature is asked for
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.policy = ["--signature-policy", policy]
        self.image = folder / "image.tar"
        self.words = ["buildah", "--storage-driver", "vfs", "--root", folder / "storage", "--runroot", folder / "run"]

    def container(self, archive):
        # some versions of buildah and podman stumble over a compressed archive
        with gzip.open(archive) as packed:
            self.image.write_bytes(packed.read())
        return run([*self.words, "from", *self.policy, f"docker-archive:{self.image}"]).split()[-1]

    def root(self, container):
        return pathlib.Path(run([*self.words, "mount", container]).strip())

    def command(self, container, words, settings):
        """Runs words in the container as any user, with this folder of settings."""
        more = ["--isolation", "chroot", "--user", ANY_USER, "--volume", f"{settings}:/{SETTINGS}:ro"]
        return [*self.words, "run", *more, "--env", f"BRIDGE_CONFIG=/{SETTINGS}/bridge.toml", container, "--", *words]


def write_settings(folder, text):
    """The configuration, which group 0 may read and nobody else, as OpenShift mounts secrets."""
    folder.mkdir(exist_ok=True)
    for name, content in (("bridge.toml", text), ("tokens", TOKEN + "\n")):
        (folder / name).write_text(content)
        (folder / name).chmod(0o440)


class Root:
    """The root of a container, read-only, with the files and mounts that a kubelet adds."""

    def __init__(self, folder):
        self.folder, self.is_open = folder, True
        for name in ("proc", SETTINGS):
            (folder / name).mkdir(parents=True, exist_ok=True)
        run(["mount", "--bind", folder, folder])
        run(["mount", "-t", "proc", "proc", folder / "proc"])
        for name in ("null", "random", "urandom"):
            (folder / "dev").mkdir(exist_ok=True)
            (folder / "dev" / name).touch()
            run(["mount", "--bind", f"/dev/{name}", folder / "dev" / name])
        self.write("etc/resolv.conf", RESOLV_CONF)
        self.write("etc/hosts", "127.0.0.1 localhost\n127.0.0.1 only-in-hosts\n")
        self.close()

    def write(self, name, text):
        """A file that is there before the container starts."""
        self.open()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def settings(self, text):
        self.open()
        write_settings(self.folder / SETTINGS, text)

    def volume(self, source, name):
        self.open()
        (self.folder / name).mkdir(exist_ok=True)
        run(["mount", "--bind", source, self.folder / name])

    def open(self):
        if not self.is_open:
            run(["mount", "-o", "remount,bind,rw", self.folder])
            self.is_open = True

    def close(self):
        if self.is_open:
            run(["mount", "-o", "remount,bind,ro", self.folder])
            self.is_open = False

    def command(self, words, configured=True):
        """The user and the working directory are those of the image."""
        self.close()
        variables = [f"BRIDGE_CONFIG=/{SETTINGS}/bridge.toml"] if configured else []
        chroot = [shutil.which("chroot"), "--userspec=65532:65532", "--groups=0", self.folder]
        return ["env", "-i", *variables, "setpriv", "--no-new-privs", *chroot, "/greenapi-bridge", *words]

    def run(self, words, configured=True):
        """Runs the bridge to its end: the exit code, and all it said."""
        return ended(self.command(words, configured))


def ended(command):
    """The exit code of a command, and all it said."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=60, check=False,
    )
    return done.returncode, done.stdout


def serving(command, log, port=PROBES):
    """A bridge that runs, once it listens."""
    return Process(command, port, log)


def wait_until(what, true, seconds=30):
    for _ in range(seconds * 10):
        if true():
            return
        time.sleep(0.1)
    raise Broken(f"{what}: not within {seconds} s")


def post(body):
    """The status and the text of the answer."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", WEBHOOK, timeout=20)
    connection.request("POST", "/green-api/webhook/", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def body(number):
    """A notification, with white space that only a copy byte for byte has."""
    return f'{{"typeWebhook" : "stateInstanceChanged", "instanceData":{{"idInstance": 1101000001}},\t"number":{number}}}'.encode()


class Nats:
    """A real nats-server on all addresses of this network."""

    def __init__(self, folder):
        self.process = Process(
            [CACHE / "python/bin/nats-server", "-p", 4222, "-js", "-sd", folder / "nats"], 4222, folder / "nats.log"
        )

    def bodies(self):
        reader = [PYTHON, ROOT / "tests/consumers/nats_read.py", "--server", "nats://127.0.0.1:4222", "--stream", "GREENAPI"]
        return [base64.b64decode(json.loads(line)["body"]) for line in run(reader).splitlines()]
