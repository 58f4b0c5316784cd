"""A network that fails on demand: a proxy between the bridge and a broker."""

import asyncio
import contextlib
import socket
import threading

from environment import Broken, free_port

UP, DOWN = "up", "down"  # towards the broker, and back


def listen():
    """A socket that listens on a free port; another program may take a port between the look and the bind."""
    for _ in range(10):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", free_port()))
    raise Broken("no port to listen on")


class Proxy:
    def __init__(self):
        listener, self.target = listen(), None
        self.port = listener.getsockname()[1]
        self.stalled = set()
        self.refuses = False
        self.writers = set()
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(listener, started), daemon=True).start()
        started.wait()

    def to(self, port):
        self.target = port

    def hold(self, *directions):
        """Silently stalls these directions."""
        self.stalled |= set(directions)

    def cut(self):
        """Connections are reset, and new ones too."""
        self.refuses = True
        self._break()

    def heal(self, reset=False):
        """Releases what was stalled; with `reset` it is lost with its connection."""
        if reset:
            self._break()
        self.refuses = False
        self.stalled = set()

    def _break(self):
        done = threading.Event()

        def abort():
            for writer in list(self.writers):
                writer.transport.abort()
            done.set()

        self.loop.call_soon_threadsafe(abort)
        done.wait()

    def _run(self, listener, started):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(asyncio.start_server(self._accept, sock=listener))
        started.set()
        self.loop.run_forever()

    async def _accept(self, reader, writer):
        try:
            if self.refuses:
                return
            there, to = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return
        finally:
            if self.refuses:
                writer.transport.abort()
        both = {writer, to}
        self.writers |= both
        try:
            await asyncio.wait(
                [asyncio.ensure_future(self._pump(reader, to, UP)), asyncio.ensure_future(self._pump(there, writer, DOWN))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            # the end of one way ends both: neither protocol knows half a connection
            self.writers -= both
            for one in both:
                one.transport.abort()

    async def _pump(self, reader, writer, direction):
        try:
            while data := await reader.read(1 << 16):
                while direction in self.stalled and not writer.transport.is_closing():
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
