"""The commands of tests/bench/scale, which builds and fetches what they need."""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True

import estimate  # noqa: E402
import scale_costs  # noqa: E402
import scale_day  # noqa: E402
from machine import Broken, prepare, stop_all  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["costs", "estimate", "day"])
    parser.add_argument("--broker", choices=["nats", "kafka"])
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--hour", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments = parser.parse_args()
    if arguments.command == "estimate":
        print(estimate.table())
        return
    prepare()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bridge-scale-"))
    try:
        if arguments.command == "costs":
            scale_costs.measure(folder, [arguments.broker] if arguments.broker else ["nats", "kafka"])
        else:
            scale_day.simulate(folder, arguments)
    except Broken as broken:
        raise Broken(f"{broken}\nLogs: {folder}") from broken
    finally:
        stop_all()
    shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except Broken as broken:
        stop_all()
        sys.exit(f"scale: {broken}")
    except KeyboardInterrupt:
        sys.exit(130)
