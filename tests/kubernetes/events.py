"""Events of type Warning. Each is a failure, but for those that this list gives a reason for."""

import re
from typing import NamedTuple


class Expected(NamedTuple):
    reason: str
    message: str  # a pattern
    why: str


class UnexpectedWarning(Exception):
    pass


# those that a check causes on purpose are removed by that check, with `forget`
ALLOWED = [
    Expected(
        "FailedGetPodsMetric|FailedComputeMetricsReplicas", "custom.metrics.k8s.io|unable to get metric",
        "no metrics adapter runs here, so no HorizontalPodAutoscaler learns its metric",
    ),
    Expected(
        "FailedScheduling",
        "unbound immediate PersistentVolumeClaims|persistentvolumeclaim|VolumeBinding|binding volumes|error getting PVC",
        "the scheduler looks at a pod before its volume is there, or while an uninstall takes both away, and looks again",
    ),
    Expected(
        "ClaimLost", "lost reference to PersistentVolume|Bound claim has lost its PersistentVolume",
        "kwok binds a claim before the controller has seen its volume, and removes a volume when its claim begins to go; that a claim "
        "stays bound, the checks of the journal ask",
    ),
    Expected(
        "ClusterIPNotAllocated", "repairing",
        "the API server compares addresses and Services while it starts, and one that is new is not in its list yet",
    ),
    Expected(
        ".*", "the object has been modified; please apply your changes|Operation cannot be fulfilled on|already exists",
        "two controllers wrote at the same time, or one wrote what the other deleted: the one that lost reads again and repeats",
    ),
    Expected(
        "FailedTo(Create|Update|Delete)Endpoint(Slices?)?", "",
        "the endpoint controllers look at a Service that an install or uninstall changes at the same time; that each Service has its "
        "endpoints, the installs ask",
    ),
    Expected(
        "FailedCreate", "is being terminated",
        "a workload makes a new pod while its namespace goes",
    ),
    Expected(
        "CalculateExpectedPodCountFailed", "found no controllers for pod",
        "an uninstall, or an upgrade to the other kind, deletes the workload before its pods; the drains show that the budget counts",
    ),
]


def warnings(cluster, namespace=None):
    path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    return cluster.list(f"{path}?fieldSelector=type%3DWarning")


def is_allowed(event):
    return any(
        re.fullmatch(one.reason, event["reason"]) and re.search(one.message, event.get("message", "")) for one in ALLOWED
    )


def describe(event):
    about = event["involvedObject"]
    return f'{about.get("namespace", "")} {about["kind"]} {about.get("name")}: {event["reason"]}: {event.get("message")}'


def check_events(cluster):
    unexpected = [describe(event) for event in warnings(cluster) if not is_allowed(event)]
    if unexpected:
        raise UnexpectedWarning("\n  ".join(["events of type Warning that events.py gives no reason for:", *unexpected]))


def forget(cluster, namespace, reason, message):
    """Removes the warnings that a check caused on purpose; there must be one."""
    caused = [
        event for event in warnings(cluster, namespace)
        if event["reason"] == reason and re.search(message, event.get("message", ""))
    ]
    if not caused:
        raise UnexpectedWarning(f"{namespace}: no event {reason} that says {message}")
    for event in caused:
        cluster.ask("DELETE", f"/api/v1/namespaces/{namespace}/events/{event['metadata']['name']}")
