"""docs/kubernetes.md: its values render, its commands exist, and what it shows of another chart is what the test includes."""

import os
import pathlib
import re
import subprocess
import tempfile

import yaml

from matrix import JOURNAL
from render import HELM, NATS, ROOT, merged, objects, pod, workload

PAGE = (ROOT / "docs/kubernetes.md").read_text()
BRIDGE = os.environ["BRIDGE_TEST_PROGRAM"]
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
        if "Chart.yaml" in block or "{{" in block or "kind:" in block:
            continue
        values = yaml.safe_load(block)
        objects(merged(BASE[next(iter(values))], values))
        count += 1
    installs = re.findall(r"^helm install .*values\.yaml (--set \S+)$", PAGE, re.MULTILINE)
    for options in installs:
        objects(yaml.safe_load(first), *options.split())
    assert count > 3 and len(installs) > 1, f"{count} blocks, {len(installs)} installs"
    return f"{count} blocks of values and {len(installs)} installs with --set in docs/kubernetes.md"


def check_before_upgrade():
    """The commands that check a configuration before an upgrade: with the page's own values, and with an unknown key."""
    first = re.search(r"<<'YAML'\n(.*?)^YAML$", PAGE, re.MULTILINE | re.DOTALL)[1]
    script = "set -eo pipefail\n" + next(block for block in blocks("sh") if "check --offline" in block)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "deploy").symlink_to(ROOT / "deploy")
        (folder / "helm").symlink_to(HELM)
        (folder / "greenapi-bridge").symlink_to(BRIDGE)
        (folder / "tokens").write_text("a-token-of-some-length-for-tests-4711\n")
        for more, code, sentence in (({}, 0, "no broker was asked"), ({"http": {"max_bodi": "1MiB"}}, 2, "max_bodi")):
            values = merged(yaml.safe_load(first), {"config": more})
            (folder / "values.yaml").write_text(yaml.safe_dump(values))
            environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)}
            done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
            said = done.stdout + done.stderr
            assert done.returncode == code and sentence in said, f"exit code {done.returncode}:\n{said}"
    return "the check before an upgrade, as docs/kubernetes.md has it"


def check_pod_monitor():
    """It selects the pods of deploy/kubernetes/sidecar.yaml, and a port that they name."""
    monitor = yaml.safe_load(next(block for block in blocks("yaml") if "PodMonitor" in block))["spec"]
    found = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/sidecar.yaml").read_text()))
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items(), labels
    ports = {port["name"]: port["containerPort"] for port in pod(found)["initContainers"][0]["ports"]}
    assert [ports[one["port"]] for one in monitor["podMetricsEndpoints"]] == [3002], ports
    return "the PodMonitor of docs/kubernetes.md finds the sidecar"


def check_commands():
    """Each command of the bridge, and each option, is one that its help knows."""
    found = set()
    for block in blocks("sh"):
        for line in block.splitlines():
            if call := re.search(r"(?:-- /|^ *)greenapi-bridge ((?:[a-z]+ ?)+)(.*)", line):
                found.add((call[1].strip(), *re.findall(r"--[a-z-]+", call[2])))
    for command, *options in found:
        done = subprocess.run([BRIDGE, *command.split(), "--help"], capture_output=True, text=True)
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
