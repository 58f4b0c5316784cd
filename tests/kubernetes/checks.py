"""Runs the checks against a control plane, and says of each part what became of it and how long it took."""

import argparse
import contextlib
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "bench"))

import chart_checks  # noqa: E402
import plane_checks  # noqa: E402
import sidecar_checks  # noqa: E402
import walk_checks  # noqa: E402
from control_plane import ControlPlane, fail_if_ended, stay  # noqa: E402
from events import check_events  # noqa: E402
from machine import prepare, running, stop_all  # noqa: E402

GROUPS = {"plane": plane_checks.PARTS, "chart": chart_checks.PARTS, "sidecar": sidecar_checks.PARTS, "walk": walk_checks.PARTS}


def timed(title, function, *values):
    """What the function returned, and whether it did."""
    began, result = time.monotonic(), None
    try:
        result, verdict = function(*values), "ok"
    except Exception as problem:  # noqa: BLE001 - the other parts run all the same
        verdict = "FAILED"
        print(f"{type(problem).__name__}: {problem}", flush=True)
        where = traceback.extract_tb(problem.__traceback__)
        print("".join(traceback.format_list(where[-4:])), end="", flush=True)
    print(f"{verdict:<7} {title:<88} {time.monotonic() - began:6.1f} s", flush=True)
    return result, verdict == "ok"


def run_group(cluster, name):
    """How many of its parts failed."""
    failed = 0
    for title, function in GROUPS[name]:
        failed += not timed(f"{name}: {title}", function, cluster)[1]
        fail_if_ended(running)
    return failed + (not timed(f"{name}: no event of type Warning but those with a reason", check_events, cluster)[1])


def keep_logs(folder):
    """The programs' logs, where a failure can be looked at."""
    kept = pathlib.Path(tempfile.mkdtemp(prefix="kubernetes-logs-"))
    for log in folder.glob("*.log"):
        shutil.copy(log, kept)
    print(f"The logs of the control plane are in {kept}")


def run_groups(folder, names, stays):
    plane = ControlPlane(folder)
    cluster, started = timed("plane: etcd, API server, controller manager, scheduler and six nodes of kwok start", plane.start)
    if not started:
        return 1
    if stays:
        stay(cluster, plane)
    return sum(run_group(cluster, name) for name in names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("names", nargs="*", choices=[*GROUPS, []])
    given = parser.parse_args()
    prepare()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kubernetes-"))
    failed = 1
    try:
        failed = run_groups(folder, given.names or list(GROUPS), given.stay)
        if failed:
            keep_logs(folder)
    except KeyboardInterrupt:
        failed = 0 if given.stay else 130
    finally:
        stop_all()
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    sys.exit(min(failed, 130))


if __name__ == "__main__":
    main()
