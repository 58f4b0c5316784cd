"""A real Kubernetes control plane on loopback: started, reached, and always ended. Its nodes are kwok's."""

import contextlib
import ctypes
import json
import pathlib
import random
import re
import secrets
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))

from cluster import Cluster  # noqa: E402
from machine import CACHE, Broken, Process, run  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = CACHE / "kubernetes"
PROGRAMS = KUBERNETES / "bin"
DEFINITIONS = KUBERNETES / "definitions"
STAGES = KUBERNETES / "stages"
# two in each zone, so that a pod finds another node of its zone
ZONES = {"node-a1": "a", "node-a2": "a", "node-b1": "b", "node-b2": "b", "node-c1": "c", "node-c2": "c"}
START_WITHIN = 300
POD_TAKES = 500  # milliseconds
CLASSES = ["kwok-volume", "fast"]
# documentation addresses: nothing is there, and a machine without a network has no address of its own to advertise
ADVERTISED = "192.0.2.1"
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def free_port(given=set()):
    """One that is free and was not given before; other tests on this machine look elsewhere."""
    for port in random.sample(range(6_000, 12_000), 1000):
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            if port not in given:
                given.add(port)
                return port
    raise Broken("no free port")


def end_with_parent():
    """The kernel ends this process when the script that started it is killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class ControlPlane:
    """etcd, API server, controller manager, scheduler and kwok, in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = folder / "certificates/apiserver.crt"
        self.tokens = {}
        self.service_key = folder / "service-account.key"

    def start(self):
        run(["openssl", "genrsa", "-out", self.service_key, "2048"])
        self.start_api_server(self.start_etcd())
        cluster = Cluster(self.url, self.tokens["admin"], self.certificate, self.kubeconfig("admin"), PROGRAMS)
        cluster.wait("the API server", lambda: cluster.call("GET", "/readyz")[0] == 200, START_WITHIN)
        self.start_controllers()
        cluster.install_definitions(DEFINITIONS)
        self.start_nodes(cluster)
        return cluster

    def process(self, name, port, *flags):
        log = self.folder / f"{name}.log"
        return Process([PROGRAMS / name, *flags], port, log, cwd=self.folder, preexec_fn=end_with_parent)

    def start_etcd(self):
        clients, peers = free_port(), free_port()
        url, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
        self.process(
            "etcd", clients, f"--data-dir={self.folder}/etcd", f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            # nothing outlives the run
            "--unsafe-no-fsync", "--log-level=warn",
        )
        return url

    def start_api_server(self, etcd):
        users = {
            "admin": '"system:masters"', "system:kube-controller-manager": "", "system:kube-scheduler": "",
        }
        self.tokens = {user: secrets.token_hex(16) for user in users}
        tokens = self.folder / "tokens.csv"
        tokens.write_text("".join(f"{self.tokens[user]},{user},{user},{group}\n" for user, group in users.items()))
        tokens.chmod(0o600)
        self.process(
            "kube-apiserver", self.port, f"--etcd-servers={etcd}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
            f"--advertise-address={ADVERTISED}", "--endpoint-reconciler-type=none", f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={tokens}", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self.service_key}",
            f"--service-account-signing-key-file={self.service_key}",
        )

    def kubeconfig(self, user):
        """A file for a client; JSON is YAML too."""
        path = self.folder / f"{user.rpartition(':')[2]}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.certificate)}}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        }))
        path.chmod(0o600)
        return path

    def start_controllers(self):
        manager, scheduler = free_port(), free_port()
        common = ["--bind-address=127.0.0.1", "--leader-elect=false"]
        self.process(
            "kube-controller-manager", manager, f"--secure-port={manager}", f"--cert-dir={self.folder}/manager", *common,
            f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}", f"--root-ca-file={self.certificate}",
            f"--service-account-private-key-file={self.service_key}", "--use-service-account-credentials=true",
            "--horizontal-pod-autoscaler-sync-period=5s",
        )
        self.process(
            "kube-scheduler", scheduler, f"--secure-port={scheduler}", f"--cert-dir={self.folder}/scheduler", *common,
            f"--kubeconfig={self.kubeconfig('system:kube-scheduler')}",
        )

    def start_nodes(self, cluster):
        port = free_port()
        stages = self.folder / "stages.yaml"
        stages.write_text("---\n".join(slowly(path.read_text()) for path in [*sorted(STAGES.glob("*.yaml")), HERE / "stages.yaml"]))
        self.process(
            "kwok", port, f"--kubeconfig={self.kubeconfig('admin')}", f"--server-address=127.0.0.1:{port}",
            "--manage-all-nodes=true", "--node-lease-duration-seconds=40",
            f"--config={stages}",
        )
        for name, zone in ZONES.items():
            cluster.create("/api/v1/nodes", node(name, zone))
        for name in CLASSES:
            cluster.create("/apis/storage.k8s.io/v1/storageclasses", storage_class(name))
        cluster.wait("the nodes", lambda: all(map(usable, cluster.list("/api/v1/nodes"))), START_WITHIN)


def node(name, zone):
    room = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": room, "capacity": room},
    }


def storage_class(name):
    """kwok provisions what is asked of the first, which is the default."""
    is_default = str(name == CLASSES[0]).lower()
    return {
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": is_default}},
        "provisioner": "kwok.x-k8s.io/volume", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    }


def slowly(stage):
    """Pods take a moment to start and to end, so that a rollout has steps."""
    if "kind: Pod" not in stage:
        return stage
    delay = f"  delay:\n    durationMilliseconds: {POD_TAKES}\n  next:"
    return re.sub("^  next:$", delay, stage, flags=re.MULTILINE)


def ready(thing):
    """Whether a node or a pod is."""
    conditions = thing.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def usable(one):
    """A node that is ready, and that the controllers allow pods on."""
    return ready(one) and not one["spec"].get("taints")


def stay(cluster, plane):
    """Until Ctrl-C: for a person, or for a walk through a page of docs/."""
    print(f"export PATH={PROGRAMS}:$PATH KUBECONFIG={plane.folder}/admin.kubeconfig", flush=True)
    nodes = ", ".join(one["metadata"]["name"] for one in cluster.list("/api/v1/nodes"))
    print(f"# The control plane runs with the nodes {nodes}. Ctrl-C ends it.", flush=True)
    while True:
        time.sleep(3600)


def fail_if_ended(running):
    for process in running:
        if (code := process.child.poll()) is not None:
            raise Broken(f"{process.log.stem} ended by itself, exit code {code}; see {process.log}")
