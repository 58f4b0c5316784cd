"""The control plane refuses what it must: otherwise what it admits says nothing."""

import copy

from cluster import Refused
from control_plane import ZONES, ready
from events import UnexpectedWarning, check_events, forget
from objects import Dropped, missing, try_strictly

NAMESPACE = "plane"
LOCKED_DOWN = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SPREAD = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
WRONG = [
    {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "spec": {"selector": {}, "endpoints": [{"interval": "often"}]}},
    {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "spec": {"groups": [{"name": "a", "rules": [{"alert": "A"}]}]}},
    {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {"rules": [{"backendRefs": [{"name": "a"}]}]}},
]


class Admitted(Exception):
    """What must be refused is not."""


def deployment(replicas=3):
    container = {"name": "sample", "image": "sample", "securityContext": LOCKED_DOWN}
    labels = {"app": "sample"}
    spread = [{**SPREAD, "labelSelector": {"matchLabels": labels}}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "topologySpreadConstraints": spread}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "sample"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def pod(**changes):
    spec = copy.deepcopy(deployment()["spec"]["template"]["spec"])
    spec["containers"][0].update(changes)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sample-pod"}, "spec": spec}


def check_pods_run(cluster):
    cluster.make_namespace(NAMESPACE)
    cluster.create(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", deployment())
    pods = cluster.wait("three pods of a Deployment", lambda: ready_pods(cluster, 3))
    zones = {ZONES[one["spec"]["nodeName"]] for one in pods}
    if zones != {"a", "b", "c"}:
        raise Dropped(f"three pods that must spread over three zones are in {sorted(zones)}")
    cluster.kubectl("delete", "deployment", "sample", "--namespace", NAMESPACE, "--wait")
    cluster.wait("no pods", lambda: not cluster.pods(NAMESPACE))


def ready_pods(cluster, count):
    pods = cluster.pods(NAMESPACE)
    return pods if len(pods) == count and all(map(ready, pods)) else None


def must_refuse(cluster, thing, path, sentence):
    try:
        cluster.create(path, thing, "?dryRun=All&fieldValidation=Strict")
    except Refused as refused:
        if sentence not in refused.message:
            raise Admitted(f"refused, but not for {sentence}: {refused}") from refused
    else:
        raise Admitted(f"admitted, although: {sentence}")


def check_restricted(cluster):
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    for change, sentence in [
        ({"runAsNonRoot": None}, "runAsNonRoot != true"),
        ({"capabilities": {}}, "unrestricted capabilities"),
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation != false"),
        ({"seccompProfile": None}, "seccompProfile"),
    ]:
        must_refuse(cluster, pod(securityContext={**LOCKED_DOWN, **change}), path, sentence)
    cluster.create(path, pod(), "?dryRun=All&fieldValidation=Strict")


def check_unknown_fields(cluster):
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    must_refuse(cluster, pod(readynessProbe={}), path, 'unknown field "spec.containers[0].readynessProbe"')
    kept = cluster.create(path, pod(readynessProbe={}), "?dryRun=All")
    if not missing(pod(readynessProbe={"periodSeconds": 1}), kept):
        raise Dropped("a field that the server does not know is not noticed as missing")


def check_definitions(cluster):
    for wrong in WRONG:
        thing = {**wrong, "metadata": {"name": "wrong"}}
        try:
            try_strictly(cluster, thing, NAMESPACE)
        except Dropped as refused:
            if "422" not in str(refused):
                raise
        else:
            raise Admitted(f"a wrong {wrong['kind']} is admitted")


def check_warnings_are_noticed(cluster):
    thing = pod()
    thing["spec"]["nodeSelector"] = {"there-is": "no-such-node"}
    cluster.create(f"/api/v1/namespaces/{NAMESPACE}/pods", thing)
    cluster.wait("the warning of a pod that no node takes", lambda: noticed(cluster))
    cluster.kubectl("delete", "pod", "sample-pod", "--namespace", NAMESPACE, "--wait")
    forget(cluster, NAMESPACE, "FailedScheduling", "node affinity/selector")


def noticed(cluster):
    try:
        check_events(cluster)
    except UnexpectedWarning as problem:
        return "FailedScheduling" in str(problem)
    return False


PARTS = [
    ("pods of a Deployment run, one in each zone", check_pods_run),
    ("what the restricted Pod Security standard forbids is refused", check_restricted),
    ("unknown fields are refused, and noticed where they are dropped", check_unknown_fields),
    ("a wrong ServiceMonitor, PrometheusRule or HTTPRoute is refused", check_definitions),
    ("an event of type Warning is noticed", check_warnings_are_noticed),
]
