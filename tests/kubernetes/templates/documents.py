"""docs/kubernetes.md: its values render, its commands exist, and what it shows of another chart is what the test includes."""

import os
import re
import subprocess

import yaml

from matrix import JOURNAL
from render import NATS, ROOT, merged, objects

PAGE = (ROOT / "docs/kubernetes.md").read_text()
CONSUMER = ROOT / "tests/kubernetes/templates/consumer-chart"
# The blocks of values, by their first key.
BASE = {"image": NATS, "config": NATS, "ingress": NATS, "journal": JOURNAL}


def blocks(language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)


def check_values():
    """Every block of values renders; the first one alone."""
    first = re.search(r"<<'YAML'\n(.*?)^YAML$", PAGE, re.MULTILINE | re.DOTALL)[1]
    objects(yaml.safe_load(first))
    count = 1
    for block in blocks("yaml"):
        if "Chart.yaml" in block or "{{" in block:
            continue
        values = yaml.safe_load(block)
        objects(merged(BASE[next(iter(values))], values))
        count += 1
    installs = re.findall(r"^helm install .*values\.yaml (--set \S+)$", PAGE, re.MULTILINE)
    for options in installs:
        objects(yaml.safe_load(first), *options.split())
    assert count > 3 and len(installs) > 1, f"{count} blocks, {len(installs)} installs"
    return f"{count} blocks of values and {len(installs)} installs with --set in docs/kubernetes.md"


def check_commands():
    """Each command of the bridge, and each option, is one that its help knows."""
    program = os.environ["BRIDGE_TEST_PROGRAM"]
    found = set()
    for block in blocks("sh"):
        for line in block.splitlines():
            if call := re.search(r"(?:-- /|^ *)greenapi-bridge ((?:[a-z]+ ?)+)(.*)", line):
                found.add((call[1].strip(), *re.findall(r"--[a-z-]+", call[2])))
    for command, *options in found:
        done = subprocess.run([program, *command.split(), "--help"], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        for option in options:
            assert option in done.stdout, f"{command} {option}"
    assert {command for command, *_ in found} > {"provision", "check", "send", "journal import", "journal export"}, found
    return f"{len(found)} commands of the bridge in docs/kubernetes.md"


def check_chart():
    """The lines that another chart needs are those of the chart in the tests."""
    template = (CONSUMER / "templates/consumer.yaml").read_text()
    shown = re.findall(r"\{\{.*?\}\}", next(block for block in blocks("yaml") if "sidecarVolumes" in block))
    assert len(shown) == 4, shown
    for line in shown:
        assert line in template, line
    text = next(block for block in blocks("yaml") if "# values.yaml" in block).partition("# values.yaml")
    assert yaml.safe_load(text[2]) == yaml.safe_load((CONSUMER / "values.yaml").read_text())
    return "the lines for another chart, as the tests include them"
