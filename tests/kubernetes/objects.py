"""Objects as they were sent, and as the API server stores them."""

import functools
import json
import re

from cluster import Refused

EMPTY = (None, {}, [], "")
SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20,
            "Gi": 2**30, "Ti": 2**40}
OWN_OF_SERVER = {"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"}


class Dropped(Exception):
    """The server stores something else than what was sent."""


@functools.cache
def resources(cluster):
    """Where the objects of each (apiVersion, kind) are, and whether in a namespace."""
    groups = [one["preferredVersion"]["groupVersion"] for one in cluster.get("/apis")["groups"]]
    found = {}
    for version in ["v1", *groups]:
        base = "/api/v1" if version == "v1" else f"/apis/{version}"
        for one in cluster.get(base)["resources"]:
            if "/" not in one["name"]:
                found[version, one["kind"]] = (base, one["name"], one["namespaced"], one["verbs"])
    return found


def collection(cluster, thing, namespace):
    """The path that such an object is created under."""
    base, name, namespaced, _ = resources(cluster)[thing["apiVersion"], thing["kind"]]
    return f"{base}/namespaces/{thing['metadata'].get('namespace', namespace)}/{name}" if namespaced else f"{base}/{name}"


def path_of(cluster, thing, namespace):
    return f"{collection(cluster, thing, namespace)}/{thing['metadata']['name']}"


def name_of(thing):
    return f"{thing['kind']} {thing['metadata'].get('name', '')}"


def parse(cluster, manifest, namespace):
    """The objects of a text in YAML as they stand there, but in this namespace."""
    words = ["--dry-run=client", "--validate=false", "--output=json", "--filename=-", f"--namespace={namespace}"]
    return split(cluster.kubectl("create", *words, given=manifest))


def split(text):
    """The objects of JSON documents one after the other; a List is taken apart."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := at + len(text[at:]) - len(text[at:].lstrip())) < len(text):
        thing, at = decoder.raw_decode(text, at)
        found += thing["items"] if thing["kind"] == "List" else [thing]
    return found


def quantity(value):
    """The number that 250m or 1Gi stands for; None for what is no quantity."""
    parts = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(value))
    return float(parts[1]) * SUFFIXES[parts[2]] if parts and parts[2] in SUFFIXES else None


def same(sent, stored):
    if sent == stored:
        return True
    return quantity(sent) is not None and quantity(sent) == quantity(stored)


def missing(sent, stored, path=""):
    """What of the first is not in the second, as paths."""
    if sent in EMPTY and stored in EMPTY:
        return []
    if isinstance(sent, dict) and isinstance(stored, dict):
        return [one for key, value in sent.items() for one in missing(value, stored.get(key), f"{path}.{key}")]
    # to those of a pod, admission appends its own
    grows = path == ".spec.tolerations"
    if isinstance(sent, list) and isinstance(stored, list) and (len(sent) == len(stored) or grows and len(sent) < len(stored)):
        return [one for at, value in enumerate(sent) for one in missing(value, stored[at], f"{path}[{at}]")]
    return [] if same(sent, stored) else [f"{path}: sent {json.dumps(sent)}, stored {json.dumps(stored)}"]


def added(sent, stored, path=""):
    """What the server adds to what was sent: (path without indices, value)."""
    if isinstance(stored, dict):
        sent = sent if isinstance(sent, dict) else {}
        pairs = [(f"{path}.{key}", sent.get(key), value) for key, value in stored.items()]
    elif isinstance(stored, list):
        sent = sent if isinstance(sent, list) else []
        pairs = [(f"{path}[]", sent[at] if at < len(sent) else None, value) for at, value in enumerate(stored)]
    else:
        return [] if sent is not None else [(path.lstrip("."), stored)]
    if not pairs:
        return [] if sent in ({}, []) and sent is not None else [(path.lstrip("."), stored)]
    return [one for below, before, after in pairs for one in added(before, after, below)]


def try_strictly(cluster, sent, namespace):
    """Server-side dry run that refuses unknown and repeated fields; what the server would store."""
    try:
        return cluster.create(collection(cluster, sent, namespace), sent, "?dryRun=All&fieldValidation=Strict")
    except Refused as refused:
        raise Dropped(f"{name_of(sent)} is refused: {refused}") from refused


def check_stored(cluster, things, namespace):
    """Nothing of these is dropped or changed in what the server has."""
    for sent in things:
        problems = missing(sent, cluster.get(path_of(cluster, sent, namespace)))
        if problems:
            raise Dropped("\n  ".join([f"{name_of(sent)} is not stored as sent:", *problems]))
