"""The chart of the bridge from its install to its uninstall. Values that cannot work are refused without a cluster too."""

import functools

import chart_values as values
from defaults import check_defaults
from journal_checks import PARTS as JOURNAL_PARTS
from objects import Dropped, missing, name_of
from release import Release
from rollout_checks import PARTS as ROLLOUT_PARTS

NAMESPACE = "chart"


def release(cluster):
    return Release(cluster, NAMESPACE)


@functools.cache
def tried(cluster):
    """Of every set of values each object as sent, and as the server would store it."""
    return {name: release(cluster).try_strictly(chosen) for name, chosen in values.SETS.items()}


def check_strictly(cluster):
    """Every object of every set of values, by a dry run on the server."""
    cluster.make_namespace(NAMESPACE)
    # a pod is admitted only with a service account that exists
    cluster.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "bridge"}})
    for name, pairs in tried(cluster).items():
        for sent, stored in pairs:
            if problems := missing(sent, stored):
                raise Dropped("\n  ".join([f"{name}: {name_of(sent)} would not be stored as sent:", *problems]))
    print(f"{sum(map(len, tried(cluster).values()))} objects of {len(values.SETS)} sets of values")


def check_all_defaults(cluster):
    """What the server adds is what the chart counts on."""
    check_defaults([pair for pairs in tried(cluster).values() for pair in pairs])


PARTS = [
    ("every object of every set of values is admitted, and nothing of it is dropped", check_strictly),
    ("what the server adds to them is what the chart counts on", check_all_defaults),
    *ROLLOUT_PARTS,
    *JOURNAL_PARTS,
]
