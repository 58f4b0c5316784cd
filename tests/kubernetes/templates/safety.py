"""What must hold of everything that is rendered: locked down, probed, time to stop, no secrets."""

import re

from matrix import MATRIX
from render import container, objects, only, pod, sources, toml, workload

WORKLOADS = ("Deployment", "StatefulSet")


def pods(found):
    """Each pod's name and spec, that of `helm test` too."""
    for item in found:
        if item["kind"] in WORKLOADS:
            yield item["kind"], item["spec"]["template"]["spec"]
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item["spec"]


def containers(spec):
    return [*spec.get("initContainers", []), *spec["containers"]]


def locked_down(spec, where, user=65532):
    """The rules of the Pod Security level `restricted`, and those of this chart beyond it."""
    assert spec["automountServiceAccountToken"] is False, where
    assert spec["enableServiceLinks"] is False, where
    assert spec["securityContext"]["runAsNonRoot"] is True, where
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
    for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        assert key not in spec, f"{where}: {key}"
    for volume in spec.get("volumes", []):
        kinds = volume.keys() - {"name"}
        assert kinds <= {"projected", "emptyDir", "configMap", "persistentVolumeClaim"}, f"{where}: {volume}"
    for one in containers(spec):
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["readOnlyRootFilesystem"] is True, where
        assert context["capabilities"] == {"drop": ["ALL"]}, where
        assert "privileged" not in context, where
        # the pod's, or the container's own
        numeric = context.get("runAsUser", spec["securityContext"].get("runAsUser"))
        assert user is None or numeric == user, f"{where}: user {numeric}"
        assert "memory" in one["resources"]["limits"], where
        assert "cpu" not in one["resources"]["limits"], where
        assert not any(port.get("hostPort") for port in one.get("ports", [])), where


def probed(one, ports):
    """Liveness asks no broker, and no probe goes to the webhook or to loopback."""
    for name, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        probe = one.get(name)
        if probe is None:
            assert name == "readinessProbe"
            continue
        assert probe["httpGet"] == {"path": path, "port": ports["probes"]}, probe
    assert one["startupProbe"]["failureThreshold"] * one["startupProbe"]["periodSeconds"] >= 60


def seconds(duration):
    """A duration of the bridge in seconds; written again here, not taken from the chart."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) *(ms|[smh])", duration))


def grace_nests(found):
    """preStop and the bridge's own grace end before the kubelet kills."""
    sleep = container(found).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    grace = seconds(toml(found)[1].get("shutdown", {}).get("grace", "25s"))
    whole = pod(found)["terminationGracePeriodSeconds"]
    assert whole >= sleep + grace + 5, f"{whole} s for {sleep} s and {grace} s"


def secrets_by_reference(found):
    """No Secret is rendered, and what comes from one is readable by owner and group alone."""
    assert not only(found, "Secret")
    volume = next(volume for volume in pod(found)["volumes"] if volume["name"] == "bridge-config")
    assert volume["projected"]["defaultMode"] == 0o440
    env = container(found)["env"]
    assert [item["name"] for item in env] == ["BRIDGE_CONFIG"], env
    mounted = sources(found)
    assert mounted["bridge.toml"][0] == "configMap"
    for key in re.findall(r'"(?:/etc/greenapi-bridge/)?(files/[^"]*)"', toml(found)[0]):
        assert key in mounted, f"{key} is not mounted"


def selectors_match(found):
    """Services, budget and policy select the bridge's pods, and not those of `helm test`."""
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    test = only(found, "Pod")["metadata"]["labels"]
    chosen = [item["spec"]["selector"] for item in found if item["kind"] == "Service"]
    chosen += [item["spec"]["selector"]["matchLabels"] for item in found if item["kind"] in (*WORKLOADS, "PodDisruptionBudget")]
    chosen += [item["spec"]["podSelector"]["matchLabels"] for item in found if item["kind"] == "NetworkPolicy"]
    chosen += [item["labelSelector"]["matchLabels"] for item in pod(found).get("topologySpreadConstraints", [])]
    for selector in chosen:
        assert selector.items() <= labels.items(), selector
        assert not selector.items() <= test.items(), f"{selector} selects the pod of helm test"


def journal_is_alone(found):
    """A journal has one bridge, a volume, a folder of its own in it, and no autoscaler; without one there is none of it."""
    section = toml(found)[1].get("journal")
    kind = workload(found)["kind"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(found)["volumeMounts"]}
    if section is None:
        assert kind == "Deployment" and "bridge-journal" not in mounts
        return
    assert kind == "StatefulSet" and workload(found)["spec"]["replicas"] <= 1
    assert section["directory"].startswith(mounts["bridge-journal"] + "/")
    assert not only(found, "HorizontalPodAutoscaler")
    empty = any("emptyDir" in volume for volume in pod(found)["volumes"])
    claims = workload(found)["spec"].get("volumeClaimTemplates", [])
    assert empty == section.get("ephemeral", False) and empty != bool(claims)


def load_balancers_show_no_metrics(found):
    """Only the Service without an address of its own leads to health, metrics and the admin listener."""
    for service in (item for item in found if item["kind"] == "Service"):
        names = {port["name"] for port in service["spec"]["ports"]}
        if service["metadata"]["name"].endswith("-internal"):
            assert service["spec"]["clusterIP"] == "None" and "webhook" not in names
        else:
            assert names == {"webhook"}


def check_safety():
    """All of it, for every set of values of the matrix."""
    checks = (grace_nests, secrets_by_reference, selectors_match, journal_is_alone, load_balancers_show_no_metrics)
    for name, values in MATRIX.items():
        found = objects(values)
        for where, spec in pods(found):
            locked_down(spec, f"{name}, {where}", user=values.get("runAsUser", 65532))
        probed(container(found), {"probes": values.get("ports", {}).get("probes", 3002)})
        assert "readinessProbe" in container(found)
        for check in checks:
            try:
                check(found)
            except AssertionError as error:
                raise AssertionError(f"{name}: {check.__name__}: {error}") from error
    return f"{len(MATRIX)} sets of values: locked down, probed, time to stop, secrets by reference"
