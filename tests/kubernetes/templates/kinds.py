"""Built-in kinds by the schemas of Kubernetes, strict: an unknown field is an error."""

import functools

import kubernetes_validate
import kubernetes_validate.utils
import yaml

from matrix import MATRIX
from render import CHART, ROOT, helm, objects

OLDEST = "1.33"
# These come with operators; the tests on a control plane check them by their definitions.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}

# It reads a schema of many megabytes again for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def validate(found, where, versions):
    """How many objects were validated, of each version."""
    count = 0
    for item in found:
        if item["kind"] in FOREIGN:
            continue
        for version in versions:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                name = f"{item['kind']} {item['metadata']['name']}"
                raise AssertionError(f"{where}: {name} in {version}: {error.message} at {list(error.path)}") from error
        count += 1
    return count


def check_kinds():
    """Every object of the matrix, and of deploy/kubernetes."""
    versions = [OLDEST, kubernetes_validate.latest_version()]
    count = sum(validate(objects(values), name, versions) for name, values in MATRIX.items())
    for file in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
        count += validate([item for item in yaml.safe_load_all(file.read_text()) if item], file.name, versions)
    found = objects(MATRIX["nats"])
    found[0]["spce"] = {}
    try:
        validate(found, "wrong", versions)
    except AssertionError:
        return f"{count} objects, strict, by Kubernetes {' and '.join(versions)}"
    raise AssertionError("an unknown field is accepted: this check proves nothing")


def check_lint():
    """`helm lint --strict` of the defaults and of each set of values."""
    helm("lint", "--strict", str(CHART))
    for values in MATRIX.values():
        helm("lint", "--strict", str(CHART), values=values)
    return f"{len(MATRIX) + 1} times helm lint --strict"
