"""A bridge, what was sent to it, and whether a ledger equals that."""

import base64
import collections
import hashlib
import http.client
import json
import os
import pathlib
import time

import jsonschema
from environment import BRIDGE, ROOT, Broken, Process, free_port, run
from expected import expect
from loss_checker import Answered
from probes import POISON
from workers import Wrong

TOKEN = "a-token-for-the-consumers"


class Sent:
    """One notification that was answered 200, and has a destination that is not the dead letter."""

    def __init__(self, event_id, instance, topic, result=None, attributes=None):
        self.id, self.instance, self.topic, self.attributes = event_id, instance, topic, attributes
        self.result = result  # the name of its type; None: one of the known types; "parked": may be parked


class Bridge:
    """The program under test, and all that was sent to it."""

    def __init__(self, folder, sections):
        self.folder, self.port, self.config, self.sent = folder, free_port(), folder / "bridge.toml", []
        folder.mkdir(exist_ok=True)
        (folder / "tokens").write_text(TOKEN + "\n")
        (folder / "tokens").chmod(0o600)
        head = f'[http]\nlisten = "127.0.0.1:{self.port}"\n[auth]\ntokens_file = "tokens"\n'
        self.config.write_text(head + "".join(sections))
        schema = json.loads(run([BRIDGE, "schema"]))
        self.schema = jsonschema.Draft7Validator(schema)
        self.types = [name for name in schema["definitions"] if "typeWebhook" in schema["definitions"][name].get("properties", {})]

    def provision(self):
        """A broker listens before it takes streams and topics."""
        for tries_left in reversed(range(60)):
            try:
                return run([BRIDGE, "provision", "--config", self.config])
            except Broken:
                if tries_left == 0:
                    raise
                time.sleep(0.5)

    def start(self):
        self.process = Process([BRIDGE, "run", "--config", self.config], self.port, self.folder / "bridge.log")

    def post(self, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST", "/green-api/webhook/", body, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status != 200:
            raise Broken(f"the bridge answers {answer.status} {said}; see {self.folder / 'bridge.log'}")
        return json.loads(said)["stored"]

    def examples(self):
        """Those of the schemas."""
        for schema in self.schema.schema["definitions"].values():
            for example in schema.get("examples", []):
                if "typeWebhook" in example:
                    yield json.dumps(example, ensure_ascii=False).encode()

    def send_bodies(self, bodies):
        """Each after the other, as GREEN-API does it."""
        for body in bodies:
            expected = expect(body)
            if self.post(body) not in ("broker", "journal"):
                continue  # a dead letter, or the same bytes again
            attributes = {name[3:]: value for name, value in expected["headers"].items() if name.startswith("ce-")}
            attributes.pop("datacontenttype", None)
            attributes["recordedtime"] = "2026-11-29T12:00:00Z"  # differs from run to run
            self.sent.append(Sent(expected["id"], attributes["instance"], expected["class"], self.result_of(body), attributes))

    def result_of(self, body):
        """The name of its type, or "parked" where the types of some language cannot hold it."""
        odd = []

        def integer(text):
            odd.extend([text] if abs(int(text)) >= 2**63 else [])
            return int(text)

        def fraction(text):
            odd.append(text)  # JSON Schema takes 1.0 for an integer, Go does not
            return float(text)

        def members(pairs):
            odd.extend(["a key twice"] if len(dict(pairs)) < len(pairs) else [])
            return dict(pairs)

        try:
            notification = json.loads(body, parse_int=integer, parse_float=fraction, object_pairs_hook=members)
            known = notification["typeWebhook"] in self.types
            valid = not odd and self.schema.is_valid(notification)
        except (ValueError, RecursionError):
            return "parked"
        name = notification["typeWebhook"]
        return ("parked" if not valid else name[0].upper() + name[1:] if known else "Notification")

    def send_samples(self, name, topic, *flags):
        ledger = self.folder / f"{name}.sent"
        run(
            [BRIDGE, "send", "--url", f"http://127.0.0.1:{self.port}/green-api/webhook/", "--ledger", ledger,
             "--token-file", self.folder / "tokens", "--rate", 0, *flags],
        )
        for line in ledger.read_text().splitlines():
            answered = Answered.read(line)
            if answered.stored in ("broker", "journal"):
                self.sent.append(Sent(answered.id, answered.instance, topic))


def payloads():
    folders = [ROOT / "tests/payloads", *filter(None, [os.environ.get("BRIDGE_TEST_PAYLOADS")])]
    kinds = [pathlib.Path(folder, kind) for folder in folders for kind in ("valid", "invalid")]
    return [file for kind in kinds for file in sorted(kind.glob("*.json"))]


def compare(sent, ledger, by_topic):
    """The ledger has everything once, byte for byte, as its type, and each instance in order."""
    parked = {}
    if (aside := pathlib.Path(f"{ledger}.parked")).exists():
        parked = {line.split()[0]: base64.b64decode(line[64:]) for line in aside.read_text().splitlines()}
    lines = [line.split() for line in ledger.read_text().splitlines()]
    ids = collections.Counter(line[0] for line in lines)
    problems = [f"{event_id} is there {count} times" for event_id, count in ids.items() if count > 1]
    if not {hashlib.sha256(body).hexdigest() for body in POISON} <= set(parked):
        problems.append("the poison is not parked")
    problems += [f"{digest} was altered" for digest, body in parked.items() if hashlib.sha256(body).hexdigest() != digest]
    parked_ids = {digest[:32] for digest in parked}
    expected = {one.id: one for one in sent}
    for one in sent:
        if one.id not in ids and not (one.id in parked_ids and one.result == "parked"):
            problems.append(f"{one.id} of {one.instance} is {'parked' if one.id in parked_ids else 'missing'}")
    for event_id, instance, digest, result in lines:
        one = expected.get(event_id)
        if one is None:
            problems.append(f"{event_id} was not sent")
        elif digest[:32] != event_id or instance != one.instance:
            problems.append(f"{event_id} was altered, or is of another instance")
        elif one.result not in (None, "parked", result) or (one.result is None and result == "Notification"):
            problems.append(f"{event_id} is a {one.result}, and was parsed as {result}")
    order, arrived = collections.defaultdict(list), collections.defaultdict(list)
    for one in sent:
        if one.id in ids:
            order[one.instance, one.topic if by_topic else ""].append(one.id)
    for line in lines:
        if line[0] in expected:
            arrived[line[1], expected[line[0]].topic if by_topic else ""].append(line[0])
    problems += [f"{instance} {topic} is out of order" for (instance, topic), wanted in order.items() if arrived[instance, topic] != wanted]
    if problems:
        raise Wrong("; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else ""))
    return len(lines), len(parked)
