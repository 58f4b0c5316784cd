"""What the checks ask of the control plane: over HTTP, and by kubectl and helm as a person would."""

import http.client
import json
import os
import ssl
import subprocess
import threading
import time
import urllib.parse

from machine import Broken

WITHIN = 60
EVERY = 0.1


class Refused(Exception):
    """The API server said no: the status and its sentence."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


class Failed(Exception):
    """A program ended with an exit code that was not expected; what it said."""


class Cluster:
    """A client with all rights."""

    def __init__(self, url, token, certificate, kubeconfig, programs):
        address = urllib.parse.urlsplit(url)
        self.host, self.port, self.token, self.certificate = address.hostname, address.port, token, certificate
        self.programs, self.scratch = programs, kubeconfig.parent
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig), "HOME": str(self.scratch),
        }
        self.local = threading.local()

    # the API itself

    def connection(self):
        if getattr(self.local, "open", None) is None:
            context = ssl.create_default_context(cafile=self.certificate)
            self.local.open = http.client.HTTPSConnection(self.host, self.port, timeout=30, context=context)
        return self.local.open

    def call(self, method, path, body=None, kind="application/json"):
        """The status, and what was said: an object, or a text where it is none."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        try:
            connection = self.connection()
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException):
            self.local.open = None
            raise
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else text

    def ask(self, method, path, body=None, kind="application/json"):
        status, said = self.call(method, path, body, kind)
        if status >= 300:
            raise Refused(status, said.get("message", said) if isinstance(said, dict) else said)
        return said

    def get(self, path):
        return self.ask("GET", path)

    def find(self, path):
        """The object, or None where there is none."""
        status, said = self.call("GET", path)
        if status == 404:
            return None
        if status >= 300:
            raise Refused(status, said)
        return said

    def list(self, path):
        return self.get(path)["items"]

    def create(self, path, body, query=""):
        return self.ask("POST", path + query, body)

    def patch(self, path, body):
        return self.ask("PATCH", path, body, "application/merge-patch+json")

    # as a person would

    def run(self, program, *words, given=None, fine=(0,), within=120):
        """What it printed; with another exit code than these it raises Failed with what it said."""
        done = subprocess.run(
            [self.programs / program, *map(str, words)], input=given, capture_output=True, text=True, check=False,
            timeout=within, env=self.environment,
        )
        if done.returncode not in fine:
            raise Failed(f"{program} {' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr if done.returncode else done.stdout

    def kubectl(self, *words, **more):
        return self.run("kubectl", *words, **more)

    def helm(self, *words, **more):
        return self.run("helm", *words, **more)

    def wait(self, what, condition, within=WITHIN):
        """Until the condition returns something; that."""
        ends = time.monotonic() + within
        while True:
            try:
                said = None
                if found := condition():
                    return found
            except (OSError, http.client.HTTPException, Refused) as problem:
                said = problem
            if time.monotonic() > ends:
                raise Broken(f"{what}: not within {within} s" + (f"; {said}" if said else ""))
            time.sleep(EVERY)

    # what the checks start from

    def install_definitions(self, folder):
        self.kubectl("apply", "--server-side", "--filename", folder)
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.wait("the definitions", lambda: all(established(one) for one in self.list(path)))

    def make_namespace(self, name):
        """One that enforces the restricted Pod Security standard."""
        levels = {f"pod-security.kubernetes.io/{what}": "restricted" for what in ("enforce", "audit", "warn")}
        self.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": levels}})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self.wait(f"the service account of namespace {name}", lambda: self.find(path))

    def pods(self, namespace, selector=""):
        query = "?labelSelector=" + urllib.parse.quote(selector) if selector else ""
        return self.list(f"/api/v1/namespaces/{namespace}/pods{query}")


def established(definition):
    conditions = definition.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
