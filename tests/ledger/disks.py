"""File systems that fill up or become read-only, for a journal to live on. Both need root."""

import contextlib
import os
import pathlib
import threading

from environment import Broken, run


class Skipped(Exception):
    """Not possible on this machine."""


class Disk:
    """A file system at a folder, that anyone may fill, and its end."""

    def __init__(self, folder):
        self.folder, self.filler = folder, folder / "filler"
        folder.mkdir()

    def mount(self, *words):
        if os.geteuid() != 0:
            raise Skipped("only root may mount")
        try:
            run(["mount", *words, self.folder])
        except Broken as refused:
            raise Skipped(f"mounting is not permitted here: {' '.join(str(refused).split())}") from None

    def unmount(self):
        with contextlib.suppress(Broken):
            run(["umount", self.folder])

    def free(self):
        """The bytes that are left."""
        left = os.statvfs(self.folder)
        return left.f_bavail * left.f_frsize

    def fill(self):
        """To the last byte."""
        with open(self.filler, "ab", buffering=0) as filler, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)):
                        pass

    def empty(self):
        self.filler.unlink(missing_ok=True)


class Small(Disk):
    """A tmpfs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.mount("-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs")


class Ext4(Disk):
    """An ext4 in a file."""

    def __init__(self, folder):
        super().__init__(folder)
        self.image = folder.with_suffix(".img")
        with open(self.image, "wb") as image:
            image.truncate(64 << 20)
        try:
            # without blocks that only root may use: the bridge may be root
            run(["mkfs.ext4", "-q", "-F", "-m", "0", self.image])
        except FileNotFoundError:
            raise Skipped("mkfs.ext4 is not installed") from None
        self.put_in()

    def put_in(self):
        self.mount("-o", "loop,errors=remount-ro", self.image)


class Contended(Ext4):
    """An ext4 on which another program takes every byte that becomes free."""

    def __init__(self, folder):
        super().__init__(folder)
        self.stopping, self.program = threading.Event(), None

    def keep_full(self):
        self.fill()
        self.stopping.clear()
        self.program = threading.Thread(target=self._take_what_is_free, daemon=True)
        self.program.start()

    def _take_what_is_free(self):
        while not self.stopping.wait(0.1):
            self.fill()

    def empty(self):
        self._stop()
        super().empty()

    def unmount(self):
        self._stop()
        super().unmount()

    def _stop(self):
        self.stopping.set()
        if self.program is not None:
            self.program.join()
            self.program = None


class Failing(Ext4):
    """An ext4 that its kernel makes read-only, as it does after an error of the device."""

    def __init__(self, folder):
        super().__init__(folder)
        if not self.trigger().exists():
            self.unmount()
            raise Skipped("this kernel offers no way to make one ext4 fail")

    def trigger(self):
        """Of the device by its number: a path may have several names."""
        number = self.folder.stat().st_dev
        device = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve()
        return pathlib.Path("/sys/fs/ext4") / device.name / "trigger_fs_error"

    def fail(self):
        try:
            self.trigger().write_text("1")
        except OSError as refused:
            raise Skipped(f"the file system cannot be made to fail: {refused}") from None

    def repair(self):
        """Nothing may have it open."""
        run(["umount", self.folder])
        # 1: errors were corrected
        run(["e2fsck", "-p", self.image], fine=(0, 1))
        self.put_in()
