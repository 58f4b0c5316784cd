"""The bridge beside a consumer: the manifests of deploy/kubernetes, and a chart that includes the named template."""

import pathlib
import shutil
import tempfile
import tomllib

import yaml

from kinds import OLDEST, validate
from render import CHART, ROOT, Refused, merged, objects, only, pod, toml
from safety import locked_down, probed

MANIFESTS = ("sidecar.yaml", "sidecar-journal.yaml")
JOURNAL = {"journal": {"enabled": True}}
EPHEMERAL = {"journal": {"enabled": True, "volume": "emptyDir", "ephemeral": True}}


def native_sidecar(spec, where):
    """The bridge is the one init container, stays, and does not decide by itself whether the pod is ready."""
    (bridge,) = spec["initContainers"]
    assert bridge["name"] == "greenapi-bridge" and bridge["restartPolicy"] == "Always", where
    assert "lifecycle" not in bridge, f"{where}: preStop runs when the deletion starts, long before a sidecar's SIGTERM"
    probed(bridge, {"probes": 3002})
    locked_down(spec, where)
    assert spec["securityContext"]["fsGroup"] == 65532, where
    assert spec["terminationGracePeriodSeconds"] > 30, where
    mounted = {mount["name"] for mount in bridge["volumeMounts"]}
    return bridge, mounted


def check_manifests():
    """deploy/kubernetes/sidecar*.yaml."""
    for name in MANIFESTS:
        found = [item for item in yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text()) if item]
        bridge, mounted = native_sidecar(pod(found), name)
        assert "readinessProbe" not in bridge, name
        volume = next(one for one in pod(found)["volumes"] if one["name"] == "bridge-config")
        assert volume["projected"]["defaultMode"] == 0o440, name
        config = tomllib.loads(only(found, "ConfigMap")["data"]["bridge.toml"])
        assert config["admin"]["listen"].startswith("127.0.0.1:"), name
        if "journal" in config:
            assert "nats" not in config and pod(found)["containers"][0]["command"][3] == "http://" + config["admin"]["listen"]
            assert only(found, "StatefulSet")["spec"]["replicas"] == 1 and "bridge-journal" in mounted
    return f"{len(MANIFESTS)} manifests of native sidecars"


def including(values, folder):
    """What a chart renders that has ours as a dependency."""
    chart = pathlib.Path(folder) / "consumer"
    if not chart.exists():
        shutil.copytree(pathlib.Path(__file__).parent / "consumer-chart", chart)
        shutil.copytree(CHART, chart / "charts/greenapi-bridge")
    return objects({"greenapi-bridge": values}, chart=chart)


def check_named_template():
    """The template renders the same container as the chart; alone the chart then makes only the ConfigMap."""
    with tempfile.TemporaryDirectory() as folder:
        found = including({}, folder)
        assert sorted(item["kind"] for item in found) == ["ConfigMap", "Deployment", "Service"]
        bridge, mounted = native_sidecar(pod(found), "included")
        assert "readinessProbe" not in bridge and mounted == {"bridge-config"}
        validate(found, "included", [OLDEST])
        ready = including({"sidecar": {"readiness": True}}, folder)
        assert pod(ready)["initContainers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"
        kept = including(JOURNAL, folder)
        assert "bridge-journal" not in [volume["name"] for volume in pod(kept)["volumes"]], "the other chart's to provide"
        assert "bridge-journal" in native_sidecar(pod(kept), "journal")[1] and "journal" in toml(kept)[1]
        gone = including(EPHEMERAL, folder)
        assert toml(gone)[1]["journal"]["ephemeral"] is True
        assert pod(gone)["volumes"][-1] == {"name": "bridge-journal", "emptyDir": {"sizeLimit": "2Gi"}}
        changed = including({"config": {"log": {"level": "debug"}}}, folder)
        before, after = (only(one, "Deployment")["spec"]["template"]["metadata"]["annotations"] for one in (found, changed))
        assert before != after, "a changed configuration does not restart the pod"
        try:
            including(merged(EPHEMERAL, {"journal": {"ephemeral": False}}), folder)
        except Refused as refused:
            assert "it is deleted with the pod" in str(refused)
        else:
            raise AssertionError("a journal on emptyDir is accepted")
    return "the named template, included by another chart"
