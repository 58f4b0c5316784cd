"""The alerts and the dashboard, checked without a bridge: tests, runbook, names of metrics and labels."""

import json
import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/observability"
FILES = ROOT / "deploy/helm/greenapi-bridge/files"
TESTS = ["alerts_test.yaml", "alerts_days_test.yaml"]
# Prometheus' own, and what the test of an alert may use
NOT_OURS = {"up", "ALERTS"}


def alerts(path):
    rules = yaml.safe_load(path.read_text())["groups"]
    return {rule["alert"]: rule for group in rules for rule in group["rules"]}


def known_series():
    """All series of a bridge that has everything: the first part of the snapshot of /metrics."""
    page = (ROOT / "tests/integration/snapshots/metrics.txt").read_text().split("# NATS alone")[0]
    series = {}
    for name, labels in re.findall(r"^  (\w+)(?:\{(.*?)\})?", page, re.MULTILINE):
        family = series.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="(.*?)"', labels):
            family.setdefault(label, set()).add(value)
    return series


def selectors(expression):
    """Each metric of an expression with its matchers."""
    for name, matchers in re.findall(r"\b((?:greenapi_bridge|process)_\w+|up|ALERTS)\b(?:\{(.*?)\})?", expression):
        yield name, re.findall(r'(\w+)(=~|!~|!=|=)"(.*?)"', matchers)


def unknown(expression, series):
    """What an expression names and no bridge has: such an expression is empty for ever."""
    for name, matchers in selectors(expression):
        if name in NOT_OURS:
            continue
        if name not in series:
            yield f"no metric {name}"
            continue
        for label, _, pattern in matchers:
            if label in series[name] and "$" not in pattern:
                for value in pattern.split("|"):
                    if not any(re.fullmatch(value, known) for known in series[name][label]):
                        yield f'{name} has no {label}="{value}"'


def alert_problems(name, rule, series, runbook):
    severity, annotations = rule.get("labels", {}).get("severity"), rule.get("annotations", {})
    if severity not in ("page", "ticket"):
        yield f"severity is {severity}"
    for wanted in ("summary", "description"):
        if not annotations.get(wanted):
            yield f"no {wanted}"
    # GitHub's anchor of a heading of one word
    if annotations.get("runbook") != f"docs/operate.md#{name.lower()}":
        yield f"runbook is {annotations.get('runbook')}"
    yield from unknown(rule["expr"], series)
    entry = re.search(rf"^### {name}\n\n(\w+) · (.*)\n(?s:(.*?))(?=^##|\Z)", runbook, re.MULTILINE)
    if not entry:
        yield "docs/operate.md has no entry"
        return
    if entry[1] != severity:
        yield f"docs/operate.md says {entry[1]}"
    named = {metric.split("{")[0] for metric in entry[2].split("`")[1::2]}
    used = {metric.removeprefix("greenapi_bridge_") for metric, _ in selectors(rule["expr"])} - NOT_OURS
    if not named & used:
        yield f"docs/operate.md names {named}, the alert uses {used}"
    for part in ("Means", "Look", "Do", "Wake"):
        if f"- **{part}:** " not in entry[3]:
            yield f"docs/operate.md does not say: {part}"
    if f"| [{name}](#{name.lower()}) | {severity} | " not in runbook:
        yield "the table of docs/operate.md does not list it"


def test_problems(name, tests):
    """An alert must be seen silent, then firing, then silent again, in one test."""
    for test in tests:
        seen = [bool(one["exp_alerts"]) for one in test["alert_rule_test"] if one["alertname"] == name]
        if True in seen and not seen[0] and not seen[-1]:
            return
    yield "no test sees it silent, then firing, then silent"


def check_alerts(path):
    series, runbook = known_series(), (ROOT / "docs/operate.md").read_text()
    tests = [test for file in TESTS for test in yaml.safe_load((HERE / file).read_text())["tests"]]
    rules = alerts(path)
    for name, rule in rules.items():
        problems = list(alert_problems(name, rule, series, runbook)) + list(test_problems(name, tests))
        yield from (f"{name}: {problem}" for problem in problems)
    for name in re.findall(r"^### (GreenapiBridge\w+)", runbook, re.MULTILINE):
        if name not in rules:
            yield f"{name}: docs/operate.md has an entry, and there is no such alert"


def overlaps(panels):
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken or at["x"] + at["w"] > 24:
                yield f"{panel['title']} lies on {taken.get(cell, 'the edge')}"
                break
            taken[cell] = panel["title"]


def check_dashboard(path, rules):
    dashboard, series = json.loads(path.read_text()), known_series()
    panels = dashboard["panels"]
    yield from overlaps(panels)
    if len({panel["id"] for panel in panels}) != len(panels):
        yield "two panels have one id"
    for panel in (panel for panel in panels if panel["type"] != "row"):
        title, said = panel["title"], panel.get("description", "")
        if len(said) < 40 and "Normal" not in said:
            yield f"{title}: the description does not say what is normal"
        for name in re.findall(r"GreenapiBridge\w+", said):
            if name not in rules:
                yield f"{title}: no alert {name}"
        for target in panel["targets"]:
            yield from (f"{title}: {problem}" for problem in unknown(target["expr"], series))
            if target["datasource"]["uid"] != "${datasource}":
                yield f"{title}: it does not ask the chosen Prometheus"
            for name, matchers in selectors(target["expr"]):
                missing = {"namespace", "job", "pod", "instance"} - {label for label, _, _ in matchers}
                if missing and name != "ALERTS":
                    yield f"{title}: {name} ignores the choice of {missing}"


def promtool(*words):
    done = subprocess.run(["promtool", *map(str, words)], cwd=HERE, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"promtool {' '.join(map(str, words))}:\n{done.stdout}{done.stderr}"]


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FILES / "alerts.yaml"
    problems = list(check_alerts(path))
    if path == FILES / "alerts.yaml":
        for link in ("deploy/prometheus/alerts.yaml", "deploy/grafana/dashboard.json"):
            if not (ROOT / link).is_file():
                problems.append(f"{link} leads nowhere")
        problems += check_dashboard(FILES / "dashboard.json", alerts(path))
        problems += promtool("check", "rules", path)
        for file in TESTS:
            problems += promtool("test", "rules", file)
        print(f"{len(alerts(path))} alerts, each with tests and an entry in the runbook")
    print("\n".join(problems))
    sys.exit(bool(problems))


main()
