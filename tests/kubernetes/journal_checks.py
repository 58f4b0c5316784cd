"""A release with a journal: its volume stays through an upgrade, a drain and a scale-down, and goes when it must."""

import chart_values as values
from machine import Broken
from release import Release
from rollout_checks import DRAIN

NAMESPACE = "journal"
NAME = "bridge-greenapi-bridge"
SET = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/{NAME}"
CHANGED = values.merged(values.WITH_JOURNAL, {"config": {"http": {"answer_within": "20s"}}})
DELETED = values.merged(values.WITH_JOURNAL, {"journal": {"whenDeleted": "Delete"}})
AT_ZERO = values.merged(values.WITH_JOURNAL, {"replicas": 0})


def release(cluster):
    return Release(cluster, NAMESPACE)


def only_claim(bridge):
    """The one claim of the journal, bound."""
    claims = bridge.claims()
    names = [claim["metadata"]["name"] for claim in claims]
    if names != [f"bridge-journal-{NAME}-0"]:
        raise Broken(f"the claims are {names}")
    if claims[0]["status"]["phase"] != "Bound":
        raise Broken(f"the claim is {claims[0]['status']['phase']}")
    return claims[0]["metadata"]["uid"]


def only_pod(bridge):
    """The one bridge; its claim must be mounted."""
    pod, = bridge.ready_pods(1)
    claims = [one["persistentVolumeClaim"]["claimName"] for one in pod["spec"]["volumes"] if "persistentVolumeClaim" in one]
    if claims != [f"bridge-journal-{NAME}-0"]:
        raise Broken(f"the pod mounts the claims {claims}")
    return pod


def check_into_journal(cluster):
    """A Deployment becomes a StatefulSet; the Deployment and its pods go."""
    cluster.make_namespace(NAMESPACE)
    bridge = release(cluster)
    bridge.install(values.WITHOUT_JOURNAL)
    bridge.ready_pods(3)
    bridge.upgrade(values.WITH_JOURNAL)
    cluster.wait("one bridge", lambda: len(bridge.pods()) == 1)
    only_pod(bridge)
    only_claim(bridge)
    if cluster.find(SET.replace("statefulsets", "deployments")):
        raise Broken("the Deployment stays beside the StatefulSet")


def check_refusals(cluster):
    bridge = release(cluster)
    bridge.refuses("upgrade", values.WITHOUT_JOURNAL, "may hold a backlog, which would stay behind")
    for change, sentence in [
        ({"journal": {"size": "3Gi"}}, "has 2Gi, which Kubernetes does not change in place; if the StorageClass of claim"),
        ({"journal": {"size": "3Gi"}}, "kubectl --namespace journal delete statefulset"),
        ({"journal": {"storageClass": "fast"}}, "journal.storageClass = fast"),
        ({"journal": {"volume": "emptyDir", "ephemeral": True}}, "journal.volume = emptyDir: StatefulSet"),
        ({"replicas": 2}, "replicas = 2: with a journal each instance must stay with one bridge"),
    ]:
        bridge.refuses("upgrade", values.merged(values.WITH_JOURNAL, change), sentence)
    only_pod(bridge)


def check_same_size(cluster):
    """The API server writes 2560Mi for 2.5Gi: the next upgrade with the same values is no change."""
    values_of_it = values.merged(values.WITH_JOURNAL, {"journal": {"size": "2.5Gi"}})
    other = Release(cluster, NAMESPACE, "sizes")
    other.install(values_of_it)
    other.upgrade(values_of_it)
    other.uninstall()
    # the claim has 2560Mi and stays: a release whose journal may grow beyond it is refused, one that fits is not
    larger = values.merged(values.WITH_JOURNAL, {"journal": {"size": "12Gi"}})
    other.refuses(
        "install", values.merged(larger, {"config": {"journal": {"max_bytes": "10GiB"}}}),
        "claim bridge-journal-sizes-greenapi-bridge-0 exists and has 2560Mi",
    )
    other.install(larger)
    # a claim that was enlarged needs nothing but another StatefulSet
    other.refuses("upgrade", values_of_it, "has 2560Mi, so `kubectl --namespace journal delete statefulset")
    other.uninstall()
    cluster.kubectl("delete", "pvc", "bridge-journal-sizes-greenapi-bridge-0", "--namespace", NAMESPACE)


def check_rename(cluster):
    """Another name is refused, with a journal or without, until the StatefulSet of the old name is scaled down."""
    other, old = Release(cluster, NAMESPACE, "renamed"), "renamed-greenapi-bridge"
    # while helm replaces one name by the other, both budgets would select the pods, which is a warning
    journal = values.merged(values.WITH_JOURNAL, {"podDisruptionBudget": {"enabled": False}})
    other.install(journal)
    for target in (journal, values.WITHOUT_JOURNAL):
        other.refuses(
            "upgrade", values.merged(target, {"fullnameOverride": "other"}),
            f"fullnameOverride = other: the journal of StatefulSet {old} may hold a backlog, which would stay behind",
        )
    # the old name, given in full, is no other name, and the StatefulSets of other releases do not count
    other.upgrade(values.merged(journal, {"fullnameOverride": old}))
    cluster.kubectl("scale", "statefulset", old, "--replicas=0", "--namespace", NAMESPACE)
    other.upgrade(values.merged(journal, {"fullnameOverride": "other"}))
    other.refuses("upgrade", journal, 'fullnameOverride = "": the journal of StatefulSet other may hold a backlog')
    other.uninstall()
    cluster.kubectl("delete", "pvc", f"bridge-journal-{old}-0", "bridge-journal-other-0", "--namespace", NAMESPACE)


def check_rollout(cluster):
    """The bridge is replaced and gets the same volume; rollback too."""
    bridge = release(cluster)
    claim, before = only_claim(bridge), only_pod(bridge)["metadata"]["uid"]
    bridge.upgrade(CHANGED)
    after = only_pod(bridge)["metadata"]["uid"]
    if after == before:
        raise Broken("a change of the configuration does not replace the bridge")
    bridge.rollback(2)
    if only_pod(bridge)["metadata"]["uid"] == after:
        raise Broken("a rollback does not replace the bridge")
    if only_claim(bridge) != claim:
        raise Broken("the bridge has another volume")


def check_drain(cluster):
    """One bridge is all there is: the budget lets it go, and it comes back with its volume."""
    bridge = release(cluster)
    claim, node = only_claim(bridge), only_pod(bridge)["spec"]["nodeName"]
    cluster.kubectl("drain", node, *DRAIN, "--timeout=30s")
    if only_pod(bridge)["spec"]["nodeName"] == node or only_claim(bridge) != claim:
        raise Broken("the bridge does not come back elsewhere with its volume")
    cluster.kubectl("uncordon", node)


def check_scale_down(cluster):
    """With no bridge the claim stays, and the next one gets it."""
    bridge = release(cluster)
    claim = only_claim(bridge)
    for change in (
        lambda: cluster.kubectl("scale", "statefulset", NAME, "--replicas=0", "--namespace", NAMESPACE),
        lambda: bridge.upgrade(AT_ZERO),
    ):
        change()
        cluster.wait("no bridge", lambda: not bridge.pods())
        if only_claim(bridge) != claim:
            raise Broken("the scale-down takes the volume away")
        bridge.upgrade(values.WITH_JOURNAL)
        only_pod(bridge)
    if only_claim(bridge) != claim:
        raise Broken("the bridge has another volume than before the scale-down")


def check_out_of_journal(cluster):
    """A StatefulSet at zero becomes a Deployment; its claim stays."""
    bridge = release(cluster)
    claim = only_claim(bridge)
    cluster.kubectl("scale", "statefulset", NAME, "--replicas=0", "--namespace", NAMESPACE)
    cluster.wait("no bridge", lambda: not bridge.pods())
    bridge.upgrade(values.WITHOUT_JOURNAL)
    bridge.ready_pods(3)
    if cluster.find(SET):
        raise Broken("the StatefulSet stays beside the Deployment")
    if only_claim(bridge) != claim:
        raise Broken("the upgrade takes the volume away")


def check_uninstall(cluster):
    """Retain keeps the claim of an uninstalled release, and Delete does not."""
    bridge = release(cluster)
    claim = only_claim(bridge)
    bridge.uninstall()
    bridge.install(values.WITH_JOURNAL)
    only_pod(bridge)
    if only_claim(bridge) != claim:
        raise Broken("a release of the same name does not get the volume that was retained")
    bridge.upgrade(DELETED)
    bridge.uninstall()
    cluster.wait("the claim goes with the release", lambda: not bridge.claims())


PARTS = [
    ("upgrade to a journal: a Deployment becomes a StatefulSet", check_into_journal),
    ("upgrades that would lose a backlog or cannot be done are refused", check_refusals),
    ("a size in another form is no change, and a claim that is left must be large enough", check_same_size),
    ("another name for the release is refused while the journal of the old one may hold a backlog", check_rename),
    ("a rollout and a rollback keep the volume", check_rollout),
    ("a drain moves the one bridge with its volume", check_drain),
    ("a scale-down to none keeps the volume, and a scale-up uses it", check_scale_down),
    ("upgrade from a journal, scaled down: a StatefulSet becomes a Deployment", check_out_of_journal),
    ("uninstall keeps the volume with Retain, and takes it with Delete", check_uninstall),
]
