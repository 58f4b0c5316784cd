#!/usr/bin/env python3
"""Says what the bridge must publish to NATS for a body, with the default routes.

This is an oracle: written from the documented behaviour, not from the bridge's
code, and it shares nothing with it. One JSON line per file:
{"file", "id", "outcome", "reason", "class", "subject", "headers"}.

Left out of "headers", because they differ from run to run: ce-recordedtime,
bridge-detail, bridge-part and the tracing headers.

Exit codes: 0 done; 2 a file cannot be read.
"""

import argparse
import hashlib
import json
import re
import sys
from datetime import datetime, timezone

STREAM = "GREENAPI"
DEAD_LETTER_SUBJECT = "greenapi.dead-letter"
MAX_DEPTH = 128  # levels, the outer object is the first
MAX_INSTANCE = 2**64 - 1

CLASSES = {
    "incomingMessageReceived": "incoming",
    "incomingMessageStatus": "incoming",
    "incomingCall": "incoming",
    "incomingBlock": "incoming",
    "outgoingMessageReceived": "outgoing",
    "outgoingAPIMessageReceived": "outgoing",
    "outgoingMessageStatus": "outgoing",
    "outgoingCall": "outgoing",
    "stateInstanceChanged": "state",
    "statusInstanceChanged": "state",
    "quotaExceeded": "state",
    "deviceInfo": "device",
}

FIRST_SECOND = int(datetime(2000, 1, 1, tzinfo=timezone.utc).timestamp())
LAST_SECOND = int(datetime(2101, 1, 1, tzinfo=timezone.utc).timestamp()) - 1


class NotJson(Exception):
    pass


class Pairs(list):
    """An object as its (key, value) pairs: repeated keys stay visible."""

    def values_of(self, wanted):
        return [value for key, value in self if key == wanted]


class Number(str):
    """A number as it was written. 1e999 and 5000 digits are JSON, but no Python number."""

    def as_integer(self):
        # A sign, a fraction or an exponent makes it something else than an id.
        return int(self) if re.fullmatch(r"[0-9]{1,20}", self) else None


# One token of RFC 8259. Python's own parser takes NaN and Infinity and gives up
# on deep nesting, so the grammar is checked here first.
TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        (?P<punctuation>[\[\]{},:])
      | (?P<string>"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*")
      | (?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


def check_grammar(text):
    """Returns the nesting depth, or raises NotJson. Keeps its own stack."""
    stack, deepest, position = [], 0, 0
    # What may come next: value, value-or-], key, key-or-}, colon, comma-or-close.
    state = "value"
    while True:
        match = TOKEN.match(text, position)
        if not match:
            raise NotJson(f"unexpected text at character {position}")
        position = match.end()
        kind = match.lastgroup
        token = match[kind]
        if kind == "end":
            if state == "close" and not stack:
                return deepest
            raise NotJson("ends too early")
        if state == "close" and not stack:
            raise NotJson("something follows the value")
        if state in ("value", "value or end"):
            if token in ("{", "["):
                stack.append(token)
                deepest = max(deepest, len(stack))
                state = "key or end" if token == "{" else "value or end"
            elif kind in ("string", "scalar"):
                state = "close"
            elif token == "]" and state == "value or end":
                stack.pop()
                state = "close"
            else:
                raise NotJson(f"no value before character {position}")
        elif state in ("key", "key or end"):
            if kind == "string":
                state = "colon"
            elif token == "}" and state == "key or end":
                stack.pop()
                state = "close"
            else:
                raise NotJson(f"no key before character {position}")
        elif state == "colon":
            if token != ":":
                raise NotJson(f"no colon before character {position}")
            state = "value"
        elif token == ",":
            state = "key" if stack[-1] == "{" else "value"
        elif token == ("}" if stack[-1] == "{" else "]"):
            stack.pop()
        else:
            raise NotJson(f"no comma before character {position}")


def is_lone_surrogate(character):
    return 0xD800 <= ord(character) <= 0xDFFF


def parse(text):
    return json.loads(
        text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=Number
    )


def surrogate_in_type(document):
    """A type that cannot be written as text is no text at all."""
    return any(
        type(value) is str and any(map(is_lone_surrogate, value)) for value in document.values_of("typeWebhook")
    )


def outer_only(text):
    """Parses a document that is too deep, with objects and arrays inside of its members emptied."""
    kept, depth, position = [], 0, 0
    while True:
        match = TOKEN.match(text, position)
        position = match.end()
        token = match[match.lastgroup]
        if match.lastgroup == "end":
            return parse("".join(kept))
        if token in ("]", "}"):
            depth -= 1
        if depth < 3:
            kept.append(token)
        if token in ("[", "{"):
            depth += 1


def read_type(document):
    """The type of a document without repeated keys, or None."""
    values = document.values_of("typeWebhook")
    # Numbers are a subclass of str here, so the exact class counts.
    return values[0] if values and type(values[0]) is str else None


def read_instance(document):
    """The instance in decimal, or None."""
    datas = document.values_of("instanceData")
    if not datas or not isinstance(datas[0], Pairs):
        return None
    ids = datas[0].values_of("idInstance")
    if not ids or not isinstance(ids[0], str):
        return None
    # A string of digits and an integer mean the same. Nobody sends leading zeros.
    digits = ids[0]
    if not re.fullmatch(r"[0-9]+", digits) or int_too_large(digits):
        return None
    return str(int(digits))


def int_too_large(digits):
    significant = digits.lstrip("0")
    return len(significant) > 20 or int(significant or "0") > MAX_INSTANCE


def judge(body):
    """Returns (reason or None, document or None)."""
    try:
        text = body.decode("utf-8")  # strict; a byte-order mark stays and is no JSON
        depth = check_grammar(text)
    except (UnicodeDecodeError, NotJson):
        return "not_json", None
    if not text.lstrip(" \t\n\r").startswith("{"):
        return "not_object", None
    document = outer_only(text) if depth > MAX_DEPTH else parse(text)
    if surrogate_in_type(document):
        return "not_json", None
    if depth > MAX_DEPTH:
        return "too_deep", None
    if repeats_instance(document) or len(document.values_of("typeWebhook")) > 1:
        return "ambiguous", None
    if read_type(document) is None:
        return "no_type", document
    if read_instance(document) is None:
        return "no_instance", document
    return None, document


def repeats_instance(document):
    """Whether two readers may disagree on which instance it is."""
    datas = document.values_of("instanceData")
    inside = datas[0].values_of("idInstance") if datas and isinstance(datas[0], Pairs) else []
    return len(datas) > 1 or len(inside) > 1


def certain_instance(text):
    """The instance of a body of which nothing else is sure."""
    document = outer_only(text)
    return None if repeats_instance(document) else read_instance(document)


def reduce(value):
    """One `_` for each character a subject must not hold."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", value)[:64] or "none"


def event_time(document):
    """The last timestamp, when it is an integer that can be a date of ours."""
    values = document.values_of("timestamp")
    seconds = values[-1].as_integer() if values and isinstance(values[-1], Number) else None
    if seconds is None or not FIRST_SECOND <= seconds <= LAST_SECOND:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expect(body):
    digest = hashlib.sha256(body).digest()[:16].hex()
    reason, document = judge(body)
    kind = read_type(document) if document is not None else None
    instance = read_instance(document) if document is not None else None
    if reason in ("too_deep", "ambiguous"):
        instance = certain_instance(body.decode())
    content_type = "application/octet-stream" if reason == "not_json" else "application/json"
    headers = {
        "ce-id": digest,
        "ce-source": f"urn:greenapi:instance:{instance or 'unknown'}",
        "ce-type": f"com.green-api.{'unparsed' if kind is None else reduce(kind)}",
        "ce-specversion": "1.0",
        "content-type": content_type,
        "ce-datacontenttype": content_type,
        "Nats-Msg-Id": digest,
        "Nats-Expected-Stream": STREAM,
    }
    if instance is not None:
        headers["ce-partitionkey"] = headers["ce-instance"] = instance
    if reason:
        headers["Nats-Msg-Id"] = f"dl-{digest}"
        headers["bridge-reason"] = reason
        kind_class, subject = None, DEAD_LETTER_SUBJECT
    else:
        kind_class = CLASSES.get(kind, "other")
        subject = f"greenapi.{kind_class}.{reduce(instance)}.{reduce(kind)}"
        headers["ce-class"] = kind_class
        time = event_time(document)
        if time:
            headers["ce-time"] = time
    return {
        "id": digest,
        "outcome": "dead_letter" if reason else "broker",
        "reason": reason,
        "class": kind_class,
        "subject": subject,
        "headers": headers,
    }


def main():
    parser = argparse.ArgumentParser(
        description="Print what the bridge must publish for each body.",
        epilog="example: expected.py tests/payloads/valid/*.json",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a request body, byte for byte")
    for name in parser.parse_args().files:
        try:
            with open(name, "rb") as file:
                body = file.read()
        except OSError as error:
            print(f"cannot read {name}: {error.strerror}", file=sys.stderr)
            sys.exit(2)
        print(json.dumps({"file": name, **expect(body)}))


if __name__ == "__main__":
    main()
