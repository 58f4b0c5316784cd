"""A release of the chart, as helm installs it, and what of it is in the cluster."""

import json

from cluster import Failed
from control_plane import ROOT, ready
from machine import Broken
from objects import check_stored, name_of, parse, path_of, try_strictly

CHART = ROOT / "deploy/helm/greenapi-bridge"
WITHIN = 90


class NotRefused(Exception):
    """helm does what it must refuse."""


class Release:
    def __init__(self, cluster, namespace, name="bridge", chart=CHART):
        self.cluster, self.namespace, self.name, self.chart = cluster, namespace, name, chart
        self.at = ["--namespace", namespace]

    def render(self, values):
        """The objects that the chart makes of these values, hooks too."""
        said = self.cluster.helm("template", self.name, self.chart, *self.at, "--values=-", given=json.dumps(values))
        return parse(self.cluster, said, self.namespace)

    def try_strictly(self, values):
        """Asks the server what it would store; pairs of an object as sent and as it would be stored."""
        return [(sent, try_strictly(self.cluster, sent, self.namespace)) for sent in self.render(values)]

    def change(self, verb, values):
        """Installs or upgrades, and waits until the pods are ready."""
        words = [verb, self.name, self.chart, *self.at, "--values=-", "--wait", f"--timeout={WITHIN}s"]
        said = self.cluster.helm(*words, given=json.dumps(values))
        self.check_stored()
        return said

    def install(self, values):
        return self.change("install", values)

    def upgrade(self, values):
        return self.change("upgrade", values)

    def refuses(self, verb, values, sentence):
        try:
            self.change(verb, values)
        except Failed as problem:
            if sentence not in " ".join(str(problem).split()):
                raise
        else:
            raise NotRefused(f"helm {verb} must be refused: {sentence}")

    def rollback(self, revision):
        self.cluster.helm("rollback", self.name, revision, *self.at, "--wait", f"--timeout={WITHIN}s")
        self.check_stored()

    def uninstall(self):
        """Nothing of the release stays but claims of volumes."""
        sent = self.manifest()
        self.cluster.helm("uninstall", self.name, *self.at, "--wait", f"--timeout={WITHIN}s")
        for thing in sent:
            path = path_of(self.cluster, thing, self.namespace)
            self.cluster.wait(f"{name_of(thing)} is gone", lambda path=path: self.cluster.find(path) is None)
        self.cluster.wait("the pods are gone", lambda: not self.pods())

    def manifest(self):
        return parse(self.cluster, self.cluster.helm("get", "manifest", self.name, *self.at), self.namespace)

    def check_stored(self):
        check_stored(self.cluster, self.manifest(), self.namespace)

    def pods(self):
        return self.cluster.pods(self.namespace, f"app.kubernetes.io/instance={self.name}")

    def ready_pods(self, count):
        """Exactly so many, all of them ready and none about to end."""
        def find():
            pods = self.pods()
            going = any("deletionTimestamp" in pod["metadata"] for pod in pods)
            return pods if len(pods) == count and not going and all(map(ready, pods)) else None
        return self.cluster.wait(f"{count} ready pods", find) if count else []

    def claims(self):
        return self.cluster.list(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims")

    def workload(self):
        """The Deployment or the StatefulSet."""
        for kind in ("deployments", "statefulsets"):
            path = f"/apis/apps/v1/namespaces/{self.namespace}/{kind}"
            for one in self.cluster.list(f"{path}?labelSelector=app.kubernetes.io%2Finstance%3D{self.name}"):
                return one
        raise Broken(f"release {self.name} has no workload")
