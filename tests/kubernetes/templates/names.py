"""A name is rendered as a text, also one that YAML reads as a number or a Boolean, and it cannot bring YAML of its own."""

import json
import re

from kinds import OLDEST, validate
from leaves import LEAVES, at
from matrix import EPHEMERAL, INGRESS, JOURNAL, KAFKA, KAFKA_LOGIN, NATS_LOGIN
from render import CHART, NATS, Refused, helm, merged, objects, parse, pod, sources, text

NAMES = (
    "fullnameOverride",
    "journal.storageClass",
    "service.loadBalancerClass",
    "ingress.className",
    "ingress.tlsSecret",
    "serviceAccountName",
    "priorityClassName",
)
OF_ANOTHER_TYPE = ("123", "true", "1e3")
# What prints a text in quotes, a whole number, one of two words, or several lines.
SAFE = re.compile(r'(\| quote|^int(64)? .*|\| int|\(int .*\)|ternary ("\w+"|\d+) ("\w+"|\d+)|nindent \d+( \| trim)?) -?\}\}$')


def unquoted(line):
    """Whether a value on this line of a template comes from an expression without quotes."""
    value = re.match(r"\s*(?:- )?[\w./-]+: (.*)$|\s*- (\{\{.*)$", line)
    if not value:
        return False
    plain = re.sub(r"\{\{-? *(.*?\}\})", lambda found: "" if SAFE.search(found[1]) else "{{", value[1] or value[2])
    return "{{" in re.sub('"[^"]*"', "", plain)


def check_quotes():
    """No template has a value without quotes, except numbers."""
    files = [file for file in (CHART / "templates").rglob("*.*") if file.name not in ("NOTES.txt", "_checks.tpl", "_upgrade.tpl")]
    found = [f"{file.name}: {line.strip()}" for file in files for line in file.read_text().splitlines() if unquoted(line)]
    assert not found, "\n".join(["without quotes:", *found])
    assert unquoted("  a: {{ .b }}") and unquoted("- {{ . }}") and unquoted('a: {{ include "b" . }}-c'), "proves nothing"
    assert not any(map(unquoted, ("a: {{ .b | quote }}", 'a: "{{ .b }}-c"', "a: {{ int .b }}"))), "finds too much"
    return f"{len(files)} templates quote their values"


def reference(files, name):
    """The value `files` with this name in every reference."""
    return json.loads(re.sub(r'("existing\w+": )"[^"]*"', rf'\1"{name}"', json.dumps(files)))


def check_texts():
    """Each name that looks like another type is rendered as the text that it is."""
    for name in OF_ANOTHER_TYPE:
        for path in NAMES:
            context, _, holds = LEAVES[path]
            assert holds(objects(merged(context, at(path, name))), name), f"{path} = {json.dumps(name)}"
        both = merged(NATS, KAFKA, NATS_LOGIN, KAFKA_LOGIN)
        found = objects(merged(both, {"files": reference(both["files"], name), "image": {"pullSecrets": [name]}}))
        assert {source[1] for path, source in sources(found).items() if path != "bridge.toml"} == {name}
        assert pod(found)["imagePullSecrets"] == [{"name": name}]
        for values in (merged(NATS, INGRESS), JOURNAL, EPHEMERAL):
            for where, arguments, more in (("release", [name], {}), ("fullnameOverride", ["bridge"], {"fullnameOverride": name})):
                rendered = helm("template", *arguments, str(CHART), values=merged(values, more))
                validate(parse(rendered), f"{where} {name}", [OLDEST])
    return f"{len(NAMES) + 2} names stay texts: {', '.join(OF_ANOTHER_TYPE)}"


def check_injection():
    """A name with a line break is refused."""
    attack = "a\ninjected: true"
    wrong = {path: merged(LEAVES[path][0], at(path, attack)) for path in NAMES}
    wrong["image.pullSecrets"] = merged(NATS, {"image": {"pullSecrets": [attack]}})
    wrong["files"] = merged(NATS, {"files": reference(NATS["files"], "a\\\\ninjected: true")})
    for path, values in wrong.items():
        try:
            rendered = text(values)
        except Refused as refused:
            assert "does not match pattern" in str(refused), f"{path}: {refused}"
        else:
            raise AssertionError(f"{path}: a line break is accepted:\n{rendered}")
    return f"{len(wrong)} names, refused with a line break"
