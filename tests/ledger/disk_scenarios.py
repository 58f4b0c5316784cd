"""What goes wrong with the disk of the journal."""

import time

from disks import Contended, Failing, Small
from scenario import Scenario, between


class DiskFull(Scenario):
    """disk full while the broker is down"""

    needs_journal = True
    # a start fails on a disk that others fill again while it uses its reserve
    ends = True

    def prepare(self, run):
        run.disk = Small(run.folder / "disk")
        run.configure(directory=run.disk.folder / "data")
        run.provision()
        run.bridge.start()

    def round(self, run):
        between(run, 0.2, 1)
        run.kill_broker()
        between(run, 0.5, 1.5)
        run.disk.fill()
        between(run, 1, 3)
        if run.random.random() < 0.5:
            run.kill_bridge()
            between(run, 0.5, 1)
        # which of the two comes first matters
        steps = [run.disk.empty, run.broker.start]
        run.random.shuffle(steps)
        for step in steps:
            step()
            between(run, 1, 2)

    def check(self, run, checkers):
        return was_full(run)


def was_full(run):
    refused = sum(sender.figures()["answered"].get("503", 0) for sender in run.senders)
    return [] if refused else ["nothing was refused: the disk was not full"]


class FilledByOthers(Scenario):
    """another program fills the disk, and the broker is away; with the broker back all is forwarded on the full disk"""

    needs_journal = True
    seconds = 14
    # a backlog of some megabytes: the log is checkpointed meanwhile
    large = ("--instances", 4, "--rate", 5, "--count", 280, "--size", "100KiB")

    def prepare(self, run):
        run.disk = Contended(run.folder / "disk")
        run.configure(directory=run.disk.folder / "data")
        run.provision()
        run.bridge.start()
        self.stays_full = True

    def round(self, run):
        between(run, 0.2, 1)
        fill = run.random.choice([run.disk.fill, run.disk.keep_full])
        if self.stays_full:
            run.kill_broker()
            between(run, 2, 3)
            fill()
            between(run, 0.5, 1.5)
            drain_on_full_disk(run)
            run.disk.empty()
        else:
            # which comes first matters
            in_any_order(run, [run.kill_broker, fill])
            in_any_order(run, [run.broker.start, run.disk.empty])
        between(run, 1, 2)
        self.stays_full = run.random.random() < 0.5

    def check(self, run, checkers):
        return was_full(run)


def in_any_order(run, steps):
    for step in run.random.sample(steps, len(steps)):
        step()
        between(run, 0.5, 2)


def drain_on_full_disk(run):
    """All is forwarded without a restart, and before anyone frees a byte."""
    # also what the bridge itself gave back
    run.disk.fill()
    bridge, backlog, left = run.bridge.process, int(run.bridge.metric("journal_records") or 0), run.disk.free()
    run.say(f"a backlog of {backlog} records, and {left} bytes free")
    if left or not backlog:
        run.problems.append(f"a backlog of {backlog} records with {left} bytes free is no full disk with a backlog")
    run.broker.start()
    run.until("the backlog is not drained on a full disk", lambda: run.bridge.metric("journal_records") == 0, within=60)
    if run.bridge.process is not bridge:
        run.problems.append("the bridge was restarted on the full disk")


class ReadOnly(Scenario):
    """file system becomes read-only while the broker is down"""

    needs_journal = True
    ends = True

    def prepare(self, run):
        run.disk = Failing(run.folder / "disk")
        run.configure(directory=run.disk.folder / "data")
        run.provision()
        run.bridge.start()

    def round(self, run):
        between(run, 0.2, 1)
        run.kill_broker()
        between(run, 0.5, 1.5)
        run.disk.fail()
        # it refuses, or ends by itself where the disk does not sync
        until = time.monotonic() + run.random.uniform(1, 3)
        process = run.bridge.process
        while process and time.monotonic() < until and process.child.poll() is None:
            time.sleep(0.05)
        run.say(f"with the file system read-only the bridge {ended(process and process.child.poll())}")
        run.bridge.kill()
        run.disk.repair()
        run.bridge.start()
        between(run, 0.5, 1)
        run.broker.start()
        between(run, 1, 2)


def ended(code):
    return "goes on" if code is None else f"ended with exit code {code}"
