"""Runs the checks of the chart one after the other, and says of each how it went."""

import sys
import time

import changes
import configuration
import documents
import kinds
import leaves
import names
import notes
import refusals
import safety
import sidecars

CHECKS = [
    kinds.check_lint,
    kinds.check_kinds,
    safety.check_safety,
    configuration.check_configurations,
    configuration.check_toml,
    refusals.check_refusals,
    refusals.check_secret_names,
    refusals.check_all_at_once,
    leaves.check_leaves,
    leaves.check_comments,
    leaves.check_example,
    leaves.check_keys,
    leaves.check_files,
    names.check_quotes,
    names.check_texts,
    names.check_injection,
    changes.check_restarts,
    changes.check_removals,
    notes.check_notes,
    sidecars.check_manifests,
    sidecars.check_named_template,
    documents.check_values,
    documents.check_before_upgrade,
    documents.check_pod_monitor,
    documents.check_commands,
    documents.check_chart,
]


def main(wanted):
    chosen = [check for check in CHECKS if wanted in f"{check.__module__}.{check.__name__}"]
    if not chosen:
        print(f"no check has a name that contains {wanted!r}", file=sys.stderr)
        return 2
    failed = 0
    for check in chosen:
        started = time.monotonic()
        try:
            said = f"ok      {check()}"
        except Exception as error:  # noqa: BLE001 - the other checks run all the same
            failed += 1
            said = f"FAILED  {check.__module__}.{check.__name__}: {type(error).__name__}: {error}"
        print(f"{said} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
