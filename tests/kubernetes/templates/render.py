"""Renders the chart by `helm template`, and reads what comes out."""

import json
import os
import pathlib
import subprocess
import tempfile
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/greenapi-bridge"
HELM = os.environ["BRIDGE_TEST_HELM"]

TOKENS = {"existingSecret": "bridge-tokens", "key": "tokens"}
# The least that works: an image, a broker, tokens.
NATS = {
    "image": {"repository": "registry.example.com/greenapi-bridge"},
    "config": {"nats": {"servers": ["nats://nats.nats.svc:4222"]}},
    "files": {"auth": {"tokens_file": TOKENS}},
}


class Refused(Exception):
    """What helm says of values that it does not render."""


def merged(*layers):
    """Values over values, as helm merges them: maps by key, all else as a whole."""
    result = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def helm(*arguments, values=None):
    """Runs helm with values from a file of JSON, which is YAML too."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values or {}, file)
        file.flush()
        options = [] if values is None else ["--values", file.name]
        done = subprocess.run([HELM, *arguments, *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def text(values, *options, chart=CHART):
    """The rendered objects as one text."""
    return helm("template", "bridge", str(chart), "--namespace", "test", *options, values=values)


def objects(values, *options, chart=CHART):
    """The rendered objects."""
    return parse(text(values, *options, chart=chart))


def parse(rendered):
    return [document for document in yaml.safe_load_all(rendered) if document]


def only(found, kind, suffix=""):
    """The one object of this kind whose name ends so, or None."""
    matching = [item for item in found if item["kind"] == kind and item["metadata"]["name"].endswith(suffix)]
    assert len(matching) < 2, f"{len(matching)} of {kind}"
    return matching[0] if matching else None


def workload(found):
    """The Deployment or StatefulSet."""
    return only(found, "Deployment") or only(found, "StatefulSet")


def pod(found):
    """The spec of the workload's pod."""
    return workload(found)["spec"]["template"]["spec"]


def container(found):
    """The bridge's container."""
    return pod(found)["containers"][0]


def toml(found):
    """The bridge's configuration, as text and as it is read."""
    maps = [item["data"]["bridge.toml"] for item in found if item["kind"] == "ConfigMap" and "bridge.toml" in item["data"]]
    assert len(maps) == 1, f"{len(maps)} times bridge.toml"
    return maps[0], tomllib.loads(maps[0])


def sources(found):
    """What is mounted beside bridge.toml: for each path the object and its key."""
    volume = next(volume for volume in pod(found)["volumes"] if volume["name"] == "bridge-config")
    result = {}
    for source in volume["projected"]["sources"]:
        (kind, reference), = source.items()
        for item in reference["items"]:
            result[item["path"]] = (kind, reference["name"], item["key"])
    return result
