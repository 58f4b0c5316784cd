"""A real Prometheus reads a bridge under load, through an outage, refusals and dead letters. Then every query of the dashboard
returns data, every alert can be evaluated, and promtool finds nothing wrong with /metrics."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "bench"))

from brokers import Nats  # noqa: E402
from machine import Broken, Process, free_port, prepare, run  # noqa: E402

BRIDGE = pathlib.Path(os.environ["OBSERVABILITY_BRIDGE"]).resolve()
FILES = HERE.parents[1] / "deploy/helm/greenapi-bridge/files"
TOKEN, BOUND = "a-token-of-no-instance", "a-token-bound-to-nine"
WINDOW = "10s"  # what Grafana puts for $__rate_interval; Prometheus reads every second
# Panels that are empty when all is well, and here too, each with the reason. One that has data is an error too.
EMPTY = {}

CONFIG = """\
[http]
listen = "127.0.0.1:{port}"
max_body = "64KiB"
[http.tls]
certificate_file = "tls.crt"
key_file = "tls.key"
[auth]
tokens_file = "tokens"
allow_from = ["127.0.0.1"]
[publish]
timeout = "1s"
[journal]
directory = "data"
[admin]
listen = "127.0.0.1:{admin}"
{nats}"""

SCRAPE = """\
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: ["{alerts}"]
scrape_configs:
  - job_name: greenapi-bridge
    static_configs: [{{ targets: ["127.0.0.1:{admin}"], labels: {{ namespace: test, pod: bridge-0 }} }}]
  - job_name: prometheus
    static_configs: [{{ targets: ["127.0.0.1:{prometheus}"] }}]
"""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


class Stage:
    """nats-server, a bridge with everything but Kafka, and Prometheus."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.admin, self.prometheus = free_port(), free_port(), free_port()
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 9, "-subj",
             "/CN=bridge", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE", "-keyout", folder / "tls.key", "-out", folder / "tls.crt"])
        (folder / "tls.key").chmod(0o600)
        self.write_tokens(f"{TOKEN}\n1101000001 a-token-bound-to-one\n1101000009 {BOUND}\n")
        self.nats = Nats(folder)
        self.config = folder / "bridge.toml"
        self.config.write_text(CONFIG.format(port=self.port, admin=self.admin, nats=self.nats.section()))
        for tries_left in reversed(range(30)):
            try:
                run([BRIDGE, "provision", "--config", self.config])
                break
            except Broken:
                # a broker listens before it takes streams
                if tries_left == 0:
                    raise
                time.sleep(0.5)
        self.bridge = Process([BRIDGE, "run", "--config", self.config], self.admin, folder / "bridge.log", cwd=folder)
        scrape = folder / "prometheus.yaml"
        scrape.write_text(SCRAPE.format(alerts=FILES / "alerts.yaml", admin=self.admin, prometheus=self.prometheus))
        self.monitor = Process(
            ["prometheus", f"--config.file={scrape}", f"--web.listen-address=127.0.0.1:{self.prometheus}",
             f"--storage.tsdb.path={folder / 'tsdb'}"], self.prometheus, folder / "prometheus.log",
        )

    def write_tokens(self, text):
        new = self.folder / "tokens.new"
        new.write_text(text)
        new.chmod(0o600)
        new.rename(self.folder / "tokens")

    def post(self, body, token=TOKEN, path="/green-api/webhook/", method="POST", source="127.0.0.1"):
        """The status of one request over TLS."""
        trust = ssl.create_default_context(cafile=str(self.folder / "tls.crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=trust, source_address=(source, 0))
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            return connection.getresponse().status
        finally:
            connection.close()

    def send_raw(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            connection.settimeout(10)
            while connection.recv(4096):
                pass

    def page(self, path="/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as said:
            return said.read().decode()

    def metric(self, name):
        found = re.findall(rf"^greenapi_bridge_{re.escape(name)} (\S+)$", self.page(), re.MULTILINE)
        return float(found[0]) if found else None

    def wait_for(self, name, holds, within=60):
        begun = time.monotonic()
        while not holds(value := self.metric(name)):
            if time.monotonic() - begun > within:
                raise Broken(f"{name} is {value}; see {self.bridge.log}")
            time.sleep(0.2)

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.prometheus}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=30) as said:
                return json.load(said)["data"]
        except urllib.error.HTTPError as error:
            raise Broken(f"{path} {parameters}: {error.read().decode()}") from error


def expect(status, wanted):
    if status != wanted:
        raise Broken(f"answered {status} instead of {wanted}")


def refusals(stage):
    notification = b'{"typeWebhook":"incomingCall","instanceData":{"idInstance":7}}'
    for _ in range(5):
        expect(stage.post(notification, token="a-token-nobody-knows"), 401)
        expect(stage.post(notification, token=BOUND), 401)
        expect(stage.post(notification, path="/.env"), 404)
        expect(stage.post(b"", method="GET"), 405)
        expect(stage.post(notification, source="127.0.0.2"), 403)
        expect(stage.post(notification, token="a-token-nobody-knows", source="127.0.0.2"), 403)
        expect(stage.post(b"x" * 100_000), 413)
        stage.send_raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        stage.send_raw(bytes([22, 3, 1, 0, 5]) + b"tls??")
        time.sleep(0.5)


def dead_letters_and_duplicates(stage):
    for number in range(5):
        expect(stage.post(b"no JSON %d" % number), 200)
        expect(stage.post(b'{"no":"type","number":%d}' % number), 200)
        twice = b'{"typeWebhook":"deviceInfo","instanceData":{"idInstance":1101000001},"number":%d}' % number
        expect(stage.post(twice), 200)
        expect(stage.post(twice), 200)
        time.sleep(0.5)


def outage(stage):
    """The broker hangs, so publishes have no ack; is killed; and comes back. Part of the backlog is dropped meanwhile."""
    os.kill(stage.nats.process.child.pid, signal.SIGSTOP)
    time.sleep(4)
    stage.nats.process.child.kill()
    stage.nats.process.child.wait()
    stage.wait_for('broker_connected{broker="nats"}', lambda value: value == 0)
    stage.wait_for('journal_records{broker="nats"}', lambda value: value > 50)
    run([BRIDGE, "journal", "drop", "--config", stage.config, "--broker", "nats", "--instance", "1101000003", "--yes"])
    time.sleep(3)
    command = stage.nats.process.child.args
    stage.nats.process = Process(command, stage.nats.port, stage.folder / "nats.log")
    stage.wait_for('broker_connected{broker="nats"}', lambda value: value == 1)
    stage.wait_for('journal_records{broker="nats"}', lambda value: value == 0)


def reloads(stage):
    good = (stage.folder / "tokens").read_text()
    stage.write_tokens("this is no token-of-a-file\n")
    stage.wait_for('reload_failed{what="tokens"}', lambda value: value == 1)
    stage.write_tokens(good + "1101000010 a-token-bound-to-ten\n")
    stage.wait_for('reload_failed{what="tokens"}', lambda value: value == 0)


def story(stage):
    """Everything that the panels show happens while notifications come."""
    sender = subprocess.Popen(
        [str(word) for word in (BRIDGE, "send", "--config", stage.config, "--instances", 5, "--rate", 50, "--duration", "120s",
                                "--ca-file", stage.folder / "tls.crt", "--pause", "1s", "--keep-going")],
        stdin=subprocess.DEVNULL, stdout=open(stage.folder / "send.log", "wb"), stderr=subprocess.STDOUT,
    )
    try:
        stage.wait_for('notifications_total{class="incoming",stored="broker"}', lambda value: value > 50)
        for act in (refusals, dead_letters_and_duplicates, outage, reloads):
            say(act.__name__.replace("_", " "))
            act(stage)
        time.sleep(5)
        if sender.poll() is not None:
            raise Broken(f"the sender has ended; see {stage.folder / 'send.log'}")
    finally:
        sender.terminate()
        sender.wait()


def wait_until_scraped(stage):
    """What happens before the first scrape is no increase."""
    for _ in range(120):
        # at first it answers 503
        with contextlib.suppress(Broken):
            if stage.ask("query", query="up == 1")["result"]:
                return
        time.sleep(0.5)
    raise Broken(f"Prometheus does not read the bridge; see {stage.folder / 'prometheus.log'}")


def has_data(result):
    values = [value for one in result for value in one.get("values", [one.get("value")])]
    return any(value[1] != "NaN" for value in values)


def expand(text, choice):
    """What Grafana makes of the variables: All, or one value of each."""
    chosen = choice or dict.fromkeys(("namespace", "job", "pod", "instance"), ".*")
    for name, value in chosen.items():
        text = text.replace(f"${name}", value)
    return text.replace("$__rate_interval", WINDOW)


def panel_problems(stage, panel, choice, begun):
    for target in panel["targets"]:
        query = expand(target["expr"], choice)
        if "$" in query:
            yield f"{panel['title']}: an unknown variable in {query}"
            continue
        if target["instant"]:
            said = stage.ask("query", query=query)
        else:
            said = stage.ask("query_range", query=query, start=begun, end=time.time(), step=2)
        if has_data(said["result"]) == (panel["title"] in EMPTY):
            yield f"{panel['title']}: {'data, though it is listed as empty' if panel['title'] in EMPTY else 'no data'}: {query}"


def check_dashboard(stage, begun):
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    choices = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
            values = stage.ask(f"label/{label}/values", **{"match[]": expand(metric, choices)})
            if len(values) != 1:
                yield f"the variable {variable['name']} offers {values}"
                return
            choices[variable["name"]] = values[0]
    say(f"the variables offer {choices}")
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for choice in (None, choices):
        for panel in panels:
            yield from panel_problems(stage, panel, choice, begun)
    for title in EMPTY.keys() - {panel["title"] for panel in panels}:
        yield f"{title}: listed as empty, and there is no such panel"
    queries = sum(len(panel["targets"]) for panel in panels)
    say(f"{queries} queries of {len(panels)} panels, with all and with one of each variable; {len(EMPTY)} may be empty")


def evaluated_rules(stage):
    """The alerts, once Prometheus has evaluated each: it begins with some groups later than with others."""
    for _ in range(180):
        rules = [rule for group in stage.ask("rules")["groups"] for rule in group["rules"]]
        if all(rule["health"] != "unknown" for rule in rules):
            break
        time.sleep(0.5)
    return rules


def check_alerts(stage):
    rules = evaluated_rules(stage)
    for rule in rules:
        if rule["health"] != "ok":
            yield f"{rule['name']}: {rule['health']} {rule.get('lastError')}"
    states = {state: sorted(rule["name"] for rule in rules if rule["state"] == state) for state in ("firing", "pending")}
    say(f"{len(rules)} alerts can be evaluated; {states}")
    if "GreenapiBridgeDeadLetters" not in states["firing"]:
        yield "GreenapiBridgeDeadLetters does not fire"


def check_page(stage):
    page = stage.page()
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    if done.returncode or said:
        yield f"promtool check metrics: {said}"
    say(f"promtool check metrics says nothing of {sum(line[:1] not in '#' for line in page.splitlines())} series")


def main():
    prepare()
    keep = "--keep" in sys.argv
    folder = pathlib.Path(tempfile.mkdtemp(prefix="observability-"))
    problems = []
    try:
        stage, begun = Stage(folder), time.time()
        wait_until_scraped(stage)
        story(stage)
        for check in (check_page(stage), check_dashboard(stage, begun), check_alerts(stage)):
            problems += check
    except Broken as broken:
        problems.append(str(broken))
    print("\n".join(problems))
    if problems or keep:
        say(f"logs are in {folder}")
    else:
        subprocess.run(["rm", "-rf", str(folder)], check=False)
    sys.exit(bool(problems))


main()
