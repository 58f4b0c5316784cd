"""Every value of values.yaml changes what it says: a table that must name each one."""

import json
import re

import yaml

from matrix import INGRESS, JOURNAL, KAFKA, NATS_LOGIN, ROUTE
from render import CHART, NATS, ROOT, Refused, container, merged, objects, only, pod, sources, text, toml, workload

AUTOSCALED = merged(NATS, {"autoscaling": {"enabled": True}})
MONITORED = merged(NATS, {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")})
BALANCED = merged(NATS, {"service": {"type": "LoadBalancer"}})
OPEN_ADMIN = merged(
    NATS,
    {
        "config": {"admin": {"listen": "0.0.0.0:3001"}},
        "files": {"admin": {"tokens_file": {"existingSecret": "readers", "key": "tokens"}}},
    },
)
PEERS = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def service(found):
    """The Service of the webhook, not the internal one."""
    found = [item for item in found if not item["metadata"]["name"].endswith("-internal")]
    return only(found, "Service")


def pod_metadata(found):
    return workload(found)["spec"]["template"]["metadata"]


def rules(found, direction):
    return only(found, "NetworkPolicy")["spec"][direction]


def rule_for(found, port):
    """The ingress rule of a port."""
    return next(rule for rule in rules(found, "ingress") if rule["ports"][0]["port"] == port)


def claim(found):
    return workload(found)["spec"]["volumeClaimTemplates"][0]["spec"]


def scaler(found):
    return only(found, "HorizontalPodAutoscaler")


def probe_ports(found):
    return {container(found)[name]["httpGet"]["port"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}


def constraint(found, key):
    return [item for item in pod(found)["topologySpreadConstraints"] if item["topologyKey"] == key]


def in_pods(key):
    """A check of the bridge's pod and that of `helm test`."""
    return lambda found, value: pod(found)[key] == value == only(found, "Pod")["spec"][key]


def is_(what):
    """A check that a part of the objects is what the changed value says."""
    return lambda found, value: what(found) == value


def exists(kind, suffix=""):
    """A check that an object is there exactly if the value is true."""
    return lambda found, value: (only(found, kind, suffix) is not None) == value


# path of the value → values in which it counts, the changed value, what must hold of the objects then
LEAVES = {
    "image.repository": (NATS, "registry.example.org/b", lambda f, v: container(f)["image"] == v + ":0.1.0"),
    "image.tag": (NATS, "1.2.3", lambda f, v: container(f)["image"].endswith(":1.2.3")),
    "image.digest": (NATS, "sha256:" + "a" * 64, lambda f, v: container(f)["image"].endswith("@" + v)),
    "image.pullPolicy": (NATS, "Always", is_(lambda f: container(f)["imagePullPolicy"])),
    "image.pullSecrets": (NATS, ["x"], lambda f, v: in_pods("imagePullSecrets")(f, [{"name": "x"}])),
    "fullnameOverride": (NATS, "other", is_(lambda f: workload(f)["metadata"]["name"])),
    "replicas": (NATS, 5, is_(lambda f: workload(f)["spec"]["replicas"])),
    "config": (NATS, {"log": {"level": "debug"}}, lambda f, v: toml(f)[1]["log"] == v["log"]),
    "files": (NATS, NATS_LOGIN["files"], lambda f, v: toml(f)[1]["nats"]["credentials_file"] in sources(f)),
    "journal.enabled": (NATS, True, lambda f, v: workload(f)["kind"] == "StatefulSet" and "journal" in toml(f)[1]),
    "journal.volume": (
        merged(JOURNAL, {"journal": {"ephemeral": True}}),
        "emptyDir",
        lambda f, v: "volumeClaimTemplates" not in workload(f)["spec"] and v in pod(f)["volumes"][1],
    ),
    "journal.ephemeral": (merged(JOURNAL, {"journal": {"volume": "emptyDir"}}), True, is_(lambda f: toml(f)[1]["journal"]["ephemeral"])),
    "journal.size": (JOURNAL, "9Gi", is_(lambda f: claim(f)["resources"]["requests"]["storage"])),
    "journal.storageClass": (JOURNAL, "fast", is_(lambda f: claim(f)["storageClassName"])),
    "journal.whenDeleted": (
        JOURNAL,
        "Delete",
        is_(lambda f: workload(f)["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"]),
    ),
    "listenAddress": (
        NATS,
        "[::]",
        lambda f, v: [toml(f)[1]["http"]["listen"], toml(f)[1]["probes"]["listen"]] == ["[::]:3000", "[::]:3002"],
    ),
    "ports.webhook": (NATS, 8080, lambda f, v: toml(f)[1]["http"]["listen"] == "0.0.0.0:8080" and rule_for(f, 8080)),
    "ports.admin": (NATS, 8081, lambda f, v: toml(f)[1]["admin"]["listen"] == "127.0.0.1:8081"),
    "ports.probes": (
        NATS,
        8082,
        lambda f, v: toml(f)[1]["probes"]["listen"] == "0.0.0.0:8082" and rule_for(f, 8082) and probe_ports(f) == {8082},
    ),
    "service.type": (NATS, "LoadBalancer", is_(lambda f: service(f)["spec"]["type"])),
    "service.port": (NATS, 443, is_(lambda f: service(f)["spec"]["ports"][0]["port"])),
    "service.nodePort": (BALANCED, 30300, is_(lambda f: service(f)["spec"]["ports"][0]["nodePort"])),
    "service.externalTrafficPolicy": (BALANCED, "Cluster", is_(lambda f: service(f)["spec"]["externalTrafficPolicy"])),
    "service.loadBalancerClass": (BALANCED, "a/b", is_(lambda f: service(f)["spec"]["loadBalancerClass"])),
    "service.annotations": (NATS, {"a": "b"}, is_(lambda f: service(f)["metadata"]["annotations"])),
    "ingress.enabled": (merged(NATS, {"ingress": {"host": "b.example.com"}}), True, exists("Ingress")),
    "ingress.className": (merged(NATS, INGRESS), "other", is_(lambda f: only(f, "Ingress")["spec"]["ingressClassName"])),
    "ingress.annotations": (merged(NATS, INGRESS), {"a": "b"}, is_(lambda f: only(f, "Ingress")["metadata"]["annotations"])),
    "ingress.host": (
        merged(NATS, INGRESS),
        "other.example.com",
        lambda f, v: only(f, "Ingress")["spec"]["rules"][0]["host"] == v and only(f, "Ingress")["spec"]["tls"][0]["hosts"] == [v],
    ),
    "ingress.tlsSecret": (merged(NATS, INGRESS), "other", is_(lambda f: only(f, "Ingress")["spec"]["tls"][0]["secretName"])),
    "httpRoute.enabled": (merged(NATS, {"httpRoute": {"parentRefs": [{"name": "a"}]}}), True, exists("HTTPRoute")),
    "httpRoute.parentRefs": (merged(NATS, ROUTE), [{"name": "b"}], is_(lambda f: only(f, "HTTPRoute")["spec"]["parentRefs"])),
    "httpRoute.hostnames": (merged(NATS, ROUTE), ["x.example.com"], is_(lambda f: only(f, "HTTPRoute")["spec"]["hostnames"])),
    "networkPolicy.enabled": (NATS, False, exists("NetworkPolicy")),
    "networkPolicy.webhook": (NATS, PEERS, is_(lambda f: rule_for(f, 3000)["from"])),
    "networkPolicy.probes": (NATS, PEERS, lambda f, v: rule_for(f, 3002)["from"][:1] == v),
    "networkPolicy.admin": (OPEN_ADMIN, PEERS, is_(lambda f: rule_for(f, 3001)["from"])),
    "networkPolicy.brokers": (NATS, PEERS, is_(lambda f: rules(f, "egress")[1]["to"])),
    "networkPolicy.brokerPorts": (
        KAFKA,
        [9094],
        lambda f, v: [item["port"] for item in rules(f, "egress")[1]["ports"]] == [9093, 9094],
    ),
    "podDisruptionBudget.enabled": (NATS, False, exists("PodDisruptionBudget")),
    "podDisruptionBudget.maxUnavailable": (NATS, 2, is_(lambda f: only(f, "PodDisruptionBudget")["spec"]["maxUnavailable"])),
    "autoscaling.enabled": (NATS, True, exists("HorizontalPodAutoscaler")),
    "autoscaling.minReplicas": (AUTOSCALED, 3, is_(lambda f: scaler(f)["spec"]["minReplicas"])),
    "autoscaling.maxReplicas": (AUTOSCALED, 9, is_(lambda f: scaler(f)["spec"]["maxReplicas"])),
    "autoscaling.inFlight": (
        AUTOSCALED,
        99,
        lambda f, v: scaler(f)["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "99",
    ),
    "topologySpreadConstraints": (
        NATS,
        [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}],
        lambda f, v: len(pod(f)["topologySpreadConstraints"]) == 1 and v[0].items() <= constraint(f, "rack")[0].items(),
    ),
    "resources.requests.cpu": (NATS, "2", is_(lambda f: container(f)["resources"]["requests"]["cpu"])),
    "resources.requests.memory": (NATS, "2Gi", is_(lambda f: container(f)["resources"]["requests"]["memory"])),
    "resources.limits.memory": (NATS, "2Gi", is_(lambda f: container(f)["resources"]["limits"]["memory"])),
    "preStopSeconds": (
        NATS,
        9,
        lambda f, v: container(f)["lifecycle"]["preStop"]["sleep"]["seconds"] == 9
        and pod(f)["terminationGracePeriodSeconds"] == 9 + 25 + 5,
    ),
    "terminationGracePeriodSeconds": (NATS, 90, is_(lambda f: pod(f)["terminationGracePeriodSeconds"])),
    "runAsUser": (
        NATS,
        1000,
        lambda f, v: pod(f)["securityContext"]["runAsUser"] == container(f)["securityContext"]["runAsUser"] == 1000,
    ),
    "fsGroup": (NATS, 1000, is_(lambda f: pod(f)["securityContext"]["fsGroup"])),
    "serviceAccountName": (NATS, "x", in_pods("serviceAccountName")),
    "priorityClassName": (NATS, "x", in_pods("priorityClassName")),
    "nodeSelector": (NATS, {"a": "b"}, in_pods("nodeSelector")),
    "tolerations": (NATS, [{"key": "a", "operator": "Exists"}], in_pods("tolerations")),
    "affinity": (
        NATS,
        {"podAffinity": {}, "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        # the pod of `helm test` need not be near bridges, or far from them
        lambda f, v: pod(f)["affinity"] == v and only(f, "Pod")["spec"]["affinity"] == {"nodeAffinity": v["nodeAffinity"]},
    ),
    "podAnnotations": (NATS, {"a": "b"}, lambda f, v: v.items() <= pod_metadata(f)["annotations"].items()),
    "podLabels": (NATS, {"a": "b"}, lambda f, v: v.items() <= pod_metadata(f)["labels"].items()),
    "serviceMonitor.enabled": (NATS, True, exists("ServiceMonitor")),
    "serviceMonitor.labels": (
        MONITORED,
        {"a": "b"},
        lambda f, v: v.items() <= only(f, "ServiceMonitor")["metadata"]["labels"].items(),
    ),
    "serviceMonitor.interval": (MONITORED, "9s", is_(lambda f: only(f, "ServiceMonitor")["spec"]["endpoints"][0]["interval"])),
    "prometheusRule.enabled": (NATS, True, exists("PrometheusRule")),
    "prometheusRule.labels": (
        MONITORED,
        {"a": "b"},
        lambda f, v: v.items() <= only(f, "PrometheusRule")["metadata"]["labels"].items(),
    ),
    "dashboard.enabled": (NATS, True, exists("ConfigMap", "-dashboard")),
    "dashboard.labels.grafana_dashboard": (
        MONITORED,
        "yes",
        is_(lambda f: only(f, "ConfigMap", "-dashboard")["metadata"]["labels"]["grafana_dashboard"]),
    ),
    "dashboard.annotations": (
        MONITORED,
        {"a": "b"},
        is_(lambda f: only(f, "ConfigMap", "-dashboard")["metadata"]["annotations"]),
    ),
    "sidecar.enabled": (NATS, True, lambda f, v: [item["kind"] for item in f] == ["ConfigMap"]),
    # needs a chart that includes the template: sidecars.py
    "sidecar.readiness": None,
}


def walk(node, path=""):
    """The paths of all values; an empty map is one."""
    for key, value in node.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value:
            yield from walk(value, name)
        else:
            yield name


def at(path, value):
    """The values with this one at its path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def check_leaves():
    """Each value, changed, changes the objects as it says; before, they are otherwise."""
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    documented = set(walk(defaults))
    assert documented == LEAVES.keys(), f"values.yaml and this table differ in {sorted(documented ^ LEAVES.keys())}"
    for path, entry in LEAVES.items():
        if entry is None:
            continue
        context, value, holds = entry
        found = objects(merged(context, at(path, value)))
        assert holds(found, value), f"{path} = {json.dumps(value)}: not in the objects"
        assert not unchanged(context, holds, value), f"{path} = {json.dumps(value)}: holds also without it"
    return f"{len(LEAVES)} values, each changes what it says"


def unchanged(context, holds, value):
    """Whether it holds although the value was not changed."""
    try:
        return holds(objects(context), value)
    except (AttributeError, KeyError, IndexError, TypeError, StopIteration, Refused):
        return False


def without_comment(lines):
    """The values that neither they, nor those they stand with, nor their group have a comment above."""
    covered = group = False
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            covered = bool(text)
        elif not line.startswith(" ") and text.endswith(":"):
            group, covered = covered, False
        elif line[0] != " ":
            group = False
            if not covered:
                yield text
        elif not covered and not group:
            yield text


def check_comments():
    """Each value of values.yaml has a comment."""
    bare = list(without_comment((CHART / "values.yaml").read_text().splitlines()))
    assert not bare, f"no comment above {bare}"
    assert list(without_comment(["# a", "a: 1", "", "b: 2", "c:", "  d: 3"])) == ["b: 2", "d: 3"], "proves nothing"
    return "values.yaml explains its values"


def file_keys():
    """The keys that take a file, by the schema of the values."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    definitions = schema["definitions"]

    def resolve(node):
        return definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    def keys(node, path):
        node = resolve(node)
        if "key" in node.get("properties", {}):
            yield path
            return
        for name, child in node.get("properties", {}).items():
            yield from keys(child, [*path, name])
        if isinstance(node.get("additionalProperties"), dict):
            yield from keys(node["additionalProperties"], [*path, "ssl.ca.location" if path[-1] == "properties" else "sasl.password"])

    return list(keys(schema["properties"]["files"], []))


def example_keys():
    """The keys of each section of the bridge's example configuration, sections below it too."""
    keys, section = {}, ""
    for line in (ROOT / "deploy/bridge.example.toml").read_text().splitlines():
        if header := re.match(r"#?\[([\w.]+)\]", line):
            section = header[1]
            above, _, name = section.rpartition(".")
            keys.setdefault(section, set())
            if above:
                keys.setdefault(above, set()).add(name)
        elif key := re.match(r"#?([a-z_]+) =", line):
            keys[section].add(key[1])
    return keys


def check_example():
    """The schema of the values knows the sections and files of the bridge, all of them."""
    keys = example_keys()
    sections = {section for section in keys if "." not in section}
    files = {(*section.split("."), key) for section, names in keys.items() for key in names if key.endswith("_file")}
    files |= {("kafka", "secret_files", "sasl.password"), ("kafka", "properties", "ssl.ca.location")}
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["config"]["properties"].keys() == sections
    assert {tuple(path) for path in file_keys()} == files
    return f"{len(sections)} sections and {len(files)} keys with a file, as in bridge.example.toml"


def check_keys():
    """In each section where the chart refuses unknown keys, it knows the keys of bridge.example.toml, all of them."""
    template = (CHART / "templates/_secrets.tpl").read_text()
    known = json.loads(re.search(r'define "greenapi-bridge.keys" -\}\}\n(.*?)\{\{- end', template, re.DOTALL)[1])
    example = {
        section: names for section, names in example_keys().items()
        if section == "http.tls" or section.split(".")[0] in ("auth", "admin", "nats", "kafka")
        and section not in ("kafka.properties", "kafka.secret_files")
    }
    assert known.keys() == example.keys(), known.keys() ^ example.keys()
    for section, names in example.items():
        assert set(known[section]) == names, f"[{section}]: {sorted(set(known[section]) ^ names)}"
    return f"{sum(map(len, known.values()))} keys of {len(known)} sections, as in bridge.example.toml"


def with_file(path, reference):
    """The value `files` with this key; a certificate brings its key."""
    pair = path[:-1] in (["http", "tls"], ["admin", "tls"])
    files = {}
    for one in [[*path[:-1], name] for name in ("certificate_file", "key_file")] if pair else [path]:
        value = reference
        for key in reversed(one):
            value = {key: value}
        files = merged(files, value)
    return files


def check_files():
    """Each key that takes a file gets its path, and its Secret is mounted there."""
    keys = file_keys()
    for path in keys:
        files = with_file(path, {"existingSecret": "some-secret", "key": "some.key"})
        found = objects(merged(NATS, KAFKA, {"files": files}))
        node = toml(found)[1]
        for key in path:
            node = node[key]
        # librdkafka does not know where bridge.toml is
        assert node.startswith("/") == (path[:2] == ["kafka", "properties"]), node
        assert sources(found)[node.removeprefix("/etc/greenapi-bridge/")] == ("secret", "some-secret", "some.key"), f"{path}: {node}"
    return f"{len(keys)} keys that take a file, each mounted where the configuration says"
