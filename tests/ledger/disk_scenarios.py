"""What goes wrong with the disk of the journal."""

import time

from disks import Failing, Small
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
        refused = sum(sender.figures()["answered"].get("503", 0) for sender in run.senders)
        return [] if refused else ["nothing was refused: the disk was not full"]


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
