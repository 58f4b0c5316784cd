"""Runs the consumers against real brokers, and compares their ledgers with what was sent. tests/consumers/run starts it."""

import argparse
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.append(str(ROOT / "tests/ledger"))

from environment import Broken, free_port, prepare  # noqa: E402
from recipe_checks import Recipes, Skipped  # noqa: E402
from sent import Bridge, compare, payloads  # noqa: E402
from probes import CLASSES, KafkaProbe, NatsProbe  # noqa: E402
from workers import COMMANDS, Consumer, Wrong, of_group, tolerant, until  # noqa: E402


def say(began, text):
    print(f"  {time.monotonic() - began:5.1f} s  {text}", flush=True)


class Checks:
    def __init__(self, folder, brokers):
        self.folder, self.brokers = folder, brokers
        self.bridge = Bridge(folder, [broker.section for broker in brokers])

    def send(self):
        began = time.monotonic()
        files = payloads()
        before = len(self.bridge.sent)
        self.bridge.send_bodies([file.read_bytes() for file in files])
        self.bridge.send_bodies(self.bridge.examples())
        first = self.bridge.sent[before]
        body = next(body for body in (file.read_bytes() for file in files) if hashlib.sha256(body).hexdigest()[:32] == first.id)
        for topic in CLASSES[:4]:  # no sample has an unknown type
            self.bridge.send_samples(topic, topic, "--types", topic, "--first-instance", 1_103_000_001)
        for broker in self.brokers:
            broker.poison()
            broker.repeat(first, body)
        say(began, f"{len(files)} files, {len(self.bridge.sent)} events sent")

    def sharing(self, broker):
        """Two workers of one group: each takes a share, and each instance stays in order."""
        ledger = self.folder / f"sharing-{broker.name}"
        return ledger, [of_group("python", broker, "sharing", ledger, self.folder / f"sharing-{broker.name}-{one}.log") for one in (1, 2)]

    def share(self):
        began = time.monotonic()
        at_work = {broker: self.sharing(broker) for broker in self.brokers}
        for broker, (_, workers) in at_work.items():
            workers[0].until("two workers", lambda: tolerant(lambda: broker.workers("sharing")) == 2)
        self.bridge.send_samples("sharing", "incoming", "--types", "incoming", "--instances", 20, "--count", 300)
        for broker, (ledger, workers) in at_work.items():
            broker.poison()
            workers[0].until("everything is committed", lambda: broker.finished("sharing"))
            for worker in workers:
                worker.end()
            compare(self.bridge.sent, ledger, broker.name == "kafka")
            shares = [len(worker.took()) for worker in workers]
            if min(shares) == 0 or sum(shares) != len(self.bridge.sent):
                raise Wrong(f"the workers took {shares} of {len(self.bridge.sent)}")
            if broker.name == "kafka":
                instances = [{one.instance for one in self.bridge.sent if one.id in worker.took()} for worker in workers]
                if instances[0] & instances[1]:
                    raise Wrong("both workers took events of one instance")
            say(began, f"{broker.name}: two workers of one group took {shares[0]} and {shares[1]}")

    def consume(self, language, broker):
        began = time.monotonic()
        group, name = f"{language}-first", f"{language}-{broker.name}"
        ledger, log = self.folder / name, self.folder / f"{name}.log"
        # Work that fails commits nothing.
        full = self.folder / f"{name}-full"
        full.symlink_to("/dev/full")
        failing = of_group(language, broker, group, full, log)
        until("it ends because its work fails", failing.ended_by_itself)
        # What was parked before the work failed may be committed.
        aside = pathlib.Path(f"{full}.parked")
        parked = aside.read_bytes().count(b"\n") if aside.exists() else 0
        committed = broker.committed(group)
        if failing.child.returncode == 0 or committed > parked:
            raise Wrong(f"work failed, and exit code {failing.child.returncode}, committed {committed}, parked {parked}")
        reader = of_group(language, broker, group, ledger, log)
        reader.until("everything is committed", lambda: broker.finished(group))
        reader.end()
        count, parked = compare(self.bridge.sent, ledger, broker.name == "kafka")
        # Another group gets everything again; the ids in the ledger say that all of it is done.
        before = ledger.read_bytes()
        again = of_group(language, broker, f"{language}-second", ledger, log)
        again.until("everything is committed again", lambda: tolerant(lambda: broker.finished(f"{language}-second")))
        again.end()
        if ledger.read_bytes() != before:
            raise Wrong("a second reading has changed the ledger")
        say(began, f"{language} from {broker.name}: {count} events and {parked} parked")


def consume_events(folder):
    """A bridge without a broker, and a consumer that is killed and goes on where it was."""
    began, admin = time.monotonic(), free_port()
    bridge = Bridge(folder, [f'[journal]\ndirectory = "data"\n[admin]\nlisten = "127.0.0.1:{admin}"\n'])
    bridge.start()
    bridge.send_bodies(file.read_bytes() for file in payloads())
    ledger, log, script = folder / "ledger", folder / "consumer.log", ROOT / "tests/consumers/events/consume.py"
    command = [sys.executable, script, f"http://127.0.0.1:{admin}"]
    (folder / "full").symlink_to("/dev/full")
    failing = Consumer([*command, folder / "full"], log)
    until("it ends because its work fails", failing.ended_by_itself)

    def done():
        return ledger.read_bytes().count(b"\n") if ledger.exists() else 0

    first = Consumer([*command, ledger], log)
    first.until("the first events", lambda: done() >= 20)
    first.child.kill()
    first.child.wait()
    bridge.send_samples("more", "incoming", "--instances", 3, "--first-instance", 1_104_000_001)
    taken = len(failing.took()) + len(first.took())
    second = Consumer([*command, ledger], log)
    second.until("all events", lambda: done() >= len(bridge.sent))
    second.end()
    # all print to one file; the one that was killed may have been in the middle of an event
    if not (len(bridge.sent) <= len(second.took()) - 1 <= len(bridge.sent) + 1):
        raise Wrong(f"{len(second.took())} were taken of {len(bridge.sent)}, {taken} before the kill: it did not go on where it was")
    lines = [line.split() for line in ledger.read_text().splitlines()]
    if [line[0] for line in lines if line[1] < "1104"] != [one.id for one in bridge.sent if one.instance < "1104"]:
        raise Wrong("the ledger is not what was sent, in its order")
    if sorted(line[0] for line in lines) != sorted(one.id for one in bridge.sent) or any(line[2][:32] != line[0] for line in lines):
        raise Wrong("the ledger is not what was sent, byte for byte")
    say(began, f"events without a broker: {len(lines)}, killed in the middle")


def try_recipe(recipe):
    began = time.monotonic()
    done = recipe()
    say(began, done)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=["nats", "kafka"], action="append")
    parser.add_argument("languages", nargs="*", default=[])
    return parser.parse_args()


def main():
    options = arguments()
    prepare()
    began = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="consumers-"))
    languages = [language for language in options.languages if language in COMMANDS]
    failed = []

    def attempt(what, check, *words):
        try:
            check(*words)
            return True
        except Skipped as why:
            print(f"  {what}: skipped, {why}", flush=True)
            if path := os.environ.get("BRIDGE_TEST_SKIPS"):
                with open(path, "a", encoding="utf-8") as skips:
                    skips.write(f"{what}: {why}\n")
            return True
        except (Wrong, Broken) as problem:
            failed.append(what)
            print(f"  ✗ {what}: {problem}", flush=True)
            return False

    if "events" in options.languages:
        attempt("events", consume_events, folder / "events")
    if languages or "recipes" in options.languages:
        kinds = {"nats": NatsProbe, "kafka": KafkaProbe}
        brokers = [kinds[name](folder / name) for name in options.broker or kinds]
        checks = Checks(folder, brokers)
        checks.bridge.provision()
        checks.bridge.start()
        say(began, "brokers and bridge are up")
        if attempt("work-sharing", checks.share) and attempt("sending", checks.send):
            for language in languages:
                for broker in brokers:
                    attempt(f"{language} from {broker.name}", checks.consume, language, broker)
            if "recipes" in options.languages:
                for recipe in Recipes(checks).all():
                    attempt(f"recipe {recipe.__name__}", try_recipe, recipe)
    if failed:
        print(f"{len(failed)} failed; what was written stays in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
