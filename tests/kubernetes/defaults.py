"""What the API server adds to our objects: the defaults of Kubernetes' API reference that they count on.

Each line was read and found right for a bridge. A field that the chart begins to leave to the server, or a default that a
newer Kubernetes changes, fails until somebody has read it here.
"""

import re

from objects import added


class Assigned:
    """Chosen by the cluster, each time anew."""

    def __eq__(self, other):
        return True


class OneOf:
    def __init__(self, *values):
        self.values = values

    def __eq__(self, other):
        return other in self.values


ASSIGNED = Assigned()

SERVERS_OWN = re.compile(r"status\b|.*metadata\.(uid|resourceVersion|generation|creationTimestamp|managedFields|namespace)\b")

POD = {
    "spec.dnsPolicy": "ClusterFirst",
    "spec.restartPolicy": "Always",
    "spec.schedulerName": "default-scheduler",
    # the older name of serviceAccountName
    "spec.serviceAccount": "bridge",
    "spec.volumes[].configMap.defaultMode": 0o644,
}
CONTAINER = {
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    # a probe of TLS's port would ask for HTTPS; ours ask the probes' port, which is plain
    "startupProbe.httpGet.scheme": "HTTP",
    "livenessProbe.httpGet.scheme": "HTTP",
    "readinessProbe.httpGet.scheme": "HTTP",
    # one success ends the start, and one makes ready
    "startupProbe.successThreshold": 1,
    "livenessProbe.successThreshold": 1,
    "readinessProbe.successThreshold": 1,
    "ports[].protocol": "TCP",
}
WORKLOAD = {
    "spec.revisionHistoryLimit": 10,
}
SERVICE = {
    "spec.clusterIP": ASSIGNED,
    "spec.clusterIPs[]": ASSIGNED,
    "spec.type": "ClusterIP",
    "spec.internalTrafficPolicy": "Cluster",
    "spec.ipFamilies[]": "IPv4",
    "spec.ipFamilyPolicy": "SingleStack",
    # each request goes where there is room
    "spec.sessionAffinity": "None",
    "spec.allocateLoadBalancerNodePorts": True,
    "spec.healthCheckNodePort": ASSIGNED,
    "spec.ports[].nodePort": ASSIGNED,
    "spec.ports[].protocol": "TCP",
}
STATEFUL_SET = {
    "spec.podManagementPolicy": "OrderedReady",
    "spec.updateStrategy.type": "RollingUpdate",
    "spec.updateStrategy.rollingUpdate.partition": 0,
    # with an emptyDir; with claims the chart says both
    "spec.persistentVolumeClaimRetentionPolicy.whenDeleted": "Retain",
    "spec.persistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
    # a file system, not a raw disk
    "spec.volumeClaimTemplates[].spec.volumeMode": "Filesystem",
    "spec.volumeClaimTemplates[].status.phase": "Pending",
    "spec.volumeClaimTemplates[].apiVersion": "v1",
    "spec.volumeClaimTemplates[].kind": "PersistentVolumeClaim",
}
DEPLOYMENT = {
    # the condition Progressing turns False, which helm --wait and a person see; nothing is undone
    "spec.progressDeadlineSeconds": 600,
    # while an autoscaler chooses
    "spec.replicas": 1,
    # of the manifests; the chart says its own
    "spec.strategy.type": "RollingUpdate",
    "spec.strategy.rollingUpdate.maxSurge": "25%",
    "spec.strategy.rollingUpdate.maxUnavailable": "25%",
}
HTTP_ROUTE = {
    "spec.parentRefs[].group": "gateway.networking.k8s.io",
    "spec.parentRefs[].kind": "Gateway",
    "spec.rules[].backendRefs[].group": "",
    "spec.rules[].backendRefs[].kind": "Service",
    "spec.rules[].backendRefs[].weight": 1,
}


def below(prefix, table):
    return {f"{prefix}.{path}": value for path, value in table.items()}


# a pod without a controller's template: of helm test, and what admission adds to any pod
BARE_POD = {
    "spec.serviceAccount": OneOf("default", "bridge"),
    "spec.serviceAccountName": "default",
    "spec.terminationGracePeriodSeconds": 30,
    # of system-cluster-critical
    "spec.priority": OneOf(0, 2_000_000_000),
    "spec.preemptionPolicy": "PreemptLowerPriority",
    # five minutes on a node that is gone
    "spec.tolerations[].key": OneOf("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"),
    "spec.tolerations[].operator": "Exists",
    "spec.tolerations[].effect": "NoExecute",
    "spec.tolerations[].tolerationSeconds": 300,
}
CONTAINERS = {**below("spec.containers[]", CONTAINER), **below("spec.initContainers[]", CONTAINER)}
TEMPLATE = below("spec.template", {**POD, **CONTAINERS})
EXPECTED = {
    "Deployment": {**WORKLOAD, **TEMPLATE, **DEPLOYMENT},
    "StatefulSet": {**WORKLOAD, **TEMPLATE, **STATEFUL_SET},
    "Pod": {**POD, **CONTAINERS, **BARE_POD},
    "Service": SERVICE,
    "HTTPRoute": HTTP_ROUTE,
}


class UnexpectedDefault(Exception):
    pass


def check_defaults(pairs):
    """Of pairs of an object as sent and as stored."""
    unexpected, count = set(), 0
    for sent, stored in pairs:
        expected = EXPECTED.get(sent["kind"], {})
        for path, value in added(sent, stored):
            if SERVERS_OWN.match(path):
                continue
            count += 1
            if path not in expected or expected[path] != value:
                unexpected.add(f"{sent['kind']} {path} = {value!r}")
    if unexpected:
        raise UnexpectedDefault("\n  ".join(["the server adds what defaults.py does not have:", *sorted(unexpected)]))
    print(f"{count} defaults")
