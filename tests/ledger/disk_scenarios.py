"""What goes wrong with the disk of the journal."""

import time

from disks import Failing, Small
from scenario import Scenario, between


class DiskFull(Scenario):
    """disk full while the broker is down"""

    needs_journal = True
    # a start fails on a disk that others fill again while it uses its reserve
    ends = True

    def prepare(self, stage):
        stage.disk = Small(stage.folder / "disk")
        stage.configure(directory=stage.disk.folder / "data")
        stage.provision()
        stage.bridge.start()

    def round(self, stage):
        between(stage, 0.2, 1)
        stage.kill_broker()
        between(stage, 0.5, 1.5)
        stage.disk.fill()
        between(stage, 1, 3)
        if stage.random.random() < 0.5:
            stage.kill_bridge()
            between(stage, 0.5, 1)
        # which of the two comes first matters
        steps = [stage.disk.empty, stage.broker.start]
        stage.random.shuffle(steps)
        for step in steps:
            step()
            between(stage, 1, 2)

    def check(self, stage, judges):
        refused = sum(sender.figures()["answered"].get("503", 0) for sender in stage.senders)
        return [] if refused else ["nothing was refused: the disk was not full"]


class ReadOnly(Scenario):
    """file system becomes read-only while the broker is down"""

    needs_journal = True
    ends = True

    def prepare(self, stage):
        stage.disk = Failing(stage.folder / "disk")
        stage.configure(directory=stage.disk.folder / "data")
        stage.provision()
        stage.bridge.start()

    def round(self, stage):
        between(stage, 0.2, 1)
        stage.kill_broker()
        between(stage, 0.5, 1.5)
        stage.disk.fail()
        # it refuses, or ends by itself where the disk does not sync
        until = time.monotonic() + stage.random.uniform(1, 3)
        process = stage.bridge.process
        while process and time.monotonic() < until and process.child.poll() is None:
            time.sleep(0.05)
        stage.say(f"with the file system read-only the bridge {ended(process and process.child.poll())}")
        stage.bridge.kill()
        stage.disk.repair()
        stage.bridge.start()
        between(stage, 0.5, 1)
        stage.broker.start()
        between(stage, 1, 2)


def ended(code):
    return "goes on" if code is None else f"ended with exit code {code}"
