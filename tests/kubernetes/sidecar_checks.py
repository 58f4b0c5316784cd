"""The bridge as a native sidecar: the manifests of deploy/kubernetes, and the named template in another chart."""

import shutil

import chart_values as values
from control_plane import ROOT, ready
from defaults import check_defaults
from machine import Broken
from objects import Dropped, check_stored, missing, name_of, parse, try_strictly
from release import CHART, Release

NAMESPACE = "sidecar"
MANIFESTS = ROOT / "deploy/kubernetes"
JOURNAL_ALONE = values.merged(values.IMAGE, {"journal": {"enabled": True, "volume": "emptyDir", "ephemeral": True}})
CONSUMER = ROOT / "tests/kubernetes/consumer-chart"


def check_manifests(cluster):
    """Each file of deploy/kubernetes, applied as written."""
    cluster.make_namespace(NAMESPACE)
    pairs = []
    for path in sorted(MANIFESTS.glob("*.yaml")):
        things = parse(cluster, path.read_text(), NAMESPACE)
        pairs += [(sent, try_strictly(cluster, sent, NAMESPACE)) for sent in things]
        cluster.kubectl("apply", f"--filename={path}", f"--namespace={NAMESPACE}")
        check_stored(cluster, things, NAMESPACE)
        for thing in things:
            if thing["kind"] in ("Deployment", "StatefulSet"):
                check_runs(cluster, NAMESPACE, thing)
        print(f"{path.name}: {', '.join(map(name_of, things))}")
    check_defaults(pairs)


def check_runs(cluster, namespace, workload):
    """As many pods as wanted run, and the bridge in each is a sidecar."""
    wanted, labels = workload["spec"]["replicas"], workload["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())

    def find():
        pods = cluster.pods(namespace, selector)
        return pods if len(pods) == wanted and all(map(ready, pods)) else None

    for pod in cluster.wait(f"{name_of(workload)} runs", find):
        check_is_sidecar(pod)


def check_is_sidecar(pod):
    name = pod["metadata"]["name"]
    bridge, = [one for one in pod["spec"]["initContainers"] if one["name"] == "greenapi-bridge"]
    if bridge.get("restartPolicy") != "Always":
        raise Broken(f"{name}: the bridge is an init container that must end before the consumer starts")
    if "livenessProbe" not in bridge or "startupProbe" not in bridge or "readinessProbe" in bridge:
        raise Broken(f"{name}: a sidecar has startup and liveness probes, and readiness only where asked for")
    state, = [one for one in pod["status"]["initContainerStatuses"] if one["name"] == "greenapi-bridge"]
    if "running" not in state["state"]:
        raise Broken(f"{name}: the sidecar is {state['state']}")


def consumer_chart(cluster):
    """A copy of the consumer's chart with ours as its dependency, as helm fetches it."""
    folder = cluster.scratch / "consumer-chart"
    shutil.copytree(CONSUMER, folder)
    (folder / "Chart.yaml").write_text((folder / "Chart.yaml").read_text().replace("@CHART@", f"file://{CHART}"))
    cluster.helm("dependency", "update", folder)
    return folder


def check_named_template(cluster):
    """Another chart includes the sidecar, with a broker and then with a journal alone."""
    cluster.make_namespace("consumer")
    consumer = Release(cluster, "consumer", "consumer", consumer_chart(cluster))
    given = [{"greenapi-bridge": values.merged(chosen, {"sidecar": {"enabled": True}})} for chosen in (values.NATS, JOURNAL_ALONE)]
    for sent, stored in [pair for one in given for pair in consumer.try_strictly(one)]:
        if problems := missing(sent, stored):
            raise Dropped("\n  ".join([f"{name_of(sent)} would not be stored as sent:", *problems]))
    for verb, one in zip(("install", "upgrade"), given):
        consumer.change(verb, one)
        check_runs(cluster, "consumer", next(thing for thing in consumer.manifest() if thing["kind"] == "Deployment"))
    consumer.uninstall()


PARTS = [
    ("the manifests of deploy/kubernetes run as written", check_manifests),
    ("the named template in another chart", check_named_template),
]
