"""A release without a journal: install, test, rollout, rollback, drain, autoscaling, uninstall."""

import contextlib
import threading
import time

import chart_values as values
from cluster import Failed
from control_plane import ZONES, ready
from events import forget
from machine import Broken
from release import NotRefused, Release

NAMESPACE = "rollout"
CHANGED = values.merged(values.WITHOUT_JOURNAL, {"config": {"http": {"answer_within": "20s"}}})
RELOADED = values.merged(CHANGED, {"config": {"auth": {"allow_from": ["10.0.0.0/8"]}}})
DRAIN = ["--ignore-daemonsets", "--delete-emptydir-data"]


class TooFew(Exception):
    """Fewer bridges took notifications than must."""


def release(cluster):
    return Release(cluster, NAMESPACE)


def nodes_of(pods):
    return sorted(pod["spec"]["nodeName"] for pod in pods)


@contextlib.contextmanager
def count_ready(bridge):
    """Counts the ready pods that do not end yet, all the time; the least is in the list that it gives."""
    counts, over = [], threading.Event()

    def look():
        while not over.is_set():
            counts.append(sum(ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in bridge.pods()))
            time.sleep(0.02)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join()


def check_install(cluster):
    cluster.make_namespace(NAMESPACE)
    bridge = release(cluster)
    said = bridge.install(values.WITHOUT_JOURNAL)
    pods = bridge.ready_pods(3)
    if len({ZONES[node] for node in nodes_of(pods)}) != 3:
        raise Broken(f"three bridges are not spread over three zones: {nodes_of(pods)}")
    if "deployment bridge-greenapi-bridge" not in said:
        raise Broken(f"the notes do not name the Deployment: {said}")
    service = cluster.get(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")
    ports = {port["port"] for one in service["items"] for port in one["ports"]}
    if ports != {3000, 3002}:
        raise Broken(f"the Services lead to the ports {sorted(ports)}")


def check_helm_test(cluster):
    said = cluster.helm("test", "bridge", "--namespace", NAMESPACE)
    if "Phase:          Succeeded" not in said:
        raise Broken(f"helm test: {said}")


def check_rollout(cluster):
    """Each bridge is replaced, and three are ready all the time."""
    bridge = release(cluster)
    before = {pod["metadata"]["uid"] for pod in bridge.ready_pods(3)}
    with count_ready(bridge) as counts:
        bridge.upgrade(CHANGED)
        after = {pod["metadata"]["uid"] for pod in bridge.ready_pods(3)}
    if before & after:
        raise Broken("a change of the configuration does not replace every bridge")
    if min(counts) < 3:
        raise TooFew(f"{min(counts)} of 3 bridges were ready in a rollout")
    print(f"at least {min(counts)} of 3 were ready, in {len(counts)} looks")


def check_reload(cluster):
    """What the bridge applies while it runs replaces nothing."""
    bridge = release(cluster)
    before = {pod["metadata"]["uid"] for pod in bridge.ready_pods(3)}
    bridge.upgrade(RELOADED)
    if before != {pod["metadata"]["uid"] for pod in bridge.ready_pods(3)}:
        raise Broken("a change of auth.allow_from replaces bridges")


def check_rollback(cluster):
    bridge = release(cluster)
    bridge.rollback(1)
    toml = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/bridge-greenapi-bridge")["data"]["bridge.toml"]
    if "answer_within" in toml:
        raise Broken("helm rollback 1 leaves the changed configuration")
    bridge.ready_pods(3)


def check_drain(cluster):
    """The budget lets one bridge go; the next only when there are three again."""
    bridge = release(cluster)
    first, second, _ = nodes = nodes_of(bridge.ready_pods(3))
    others = [name for name in ZONES if name not in nodes]
    # nowhere to go: the replacement of the first stays pending
    cluster.kubectl("cordon", *others, *nodes)
    cluster.kubectl("drain", first, *DRAIN, "--timeout=30s")
    cluster.wait("two ready bridges", lambda: sum(map(ready, bridge.pods())) == 2)
    try:
        cluster.kubectl("drain", second, *DRAIN, "--timeout=3s")
    except Failed as refused:
        if "violate the pod's disruption budget" not in str(refused):
            raise
    else:
        raise NotRefused("a second bridge is evicted, although the first has no replacement")
    if sum(map(ready, bridge.pods())) != 2:
        raise TooFew("the budget did not keep the second bridge")
    cluster.kubectl("uncordon", *others)
    bridge.ready_pods(3)
    cluster.kubectl("drain", second, *DRAIN, "--timeout=30s")
    cluster.kubectl("uncordon", *nodes)
    bridge.ready_pods(3)
    forget(cluster, NAMESPACE, "FailedScheduling", "unschedulable")


def check_autoscaling(cluster):
    """The number stays while the autoscaler takes over, which has no metric here."""
    bridge = release(cluster)
    with count_ready(bridge) as counts:
        bridge.upgrade(values.AUTOSCALED)
        cluster.wait("the autoscaler", lambda: autoscaler(cluster))
    if min(counts) < 2:
        raise TooFew(f"{min(counts)} bridges while the autoscaler took over, less than its minReplicas of 2")


def autoscaler(cluster):
    status = cluster.get(f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/bridge-greenapi-bridge")["status"]
    able = any(one["type"] == "AbleToScale" and one["status"] == "True" for one in status.get("conditions") or [])
    return able and status.get("currentReplicas", 0) >= 2


def check_uninstall(cluster):
    release(cluster).uninstall()


PARTS = [
    ("install without a journal: three bridges, one in each zone, behind their Services", check_install),
    ("helm test", check_helm_test),
    ("a rollout replaces every bridge, and three are always ready", check_rollout),
    ("a change that the bridge applies while it runs replaces none", check_reload),
    ("rollback", check_rollback),
    ("a drain waits for the disruption budget", check_drain),
    ("upgrade to autoscaling keeps the bridges", check_autoscaling),
    ("uninstall", check_uninstall),
]
