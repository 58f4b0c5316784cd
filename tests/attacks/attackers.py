"""The attackers. Each is a process of its own, and tells what it has done."""

import contextlib
import multiprocessing
import os
import queue
import random
import re
import socket
import ssl
import subprocess
import threading
import time


class Attacker:
    """Runs `function(over, *arguments)` in a process; `over` is set when it is to end. It returns its figures."""

    def __init__(self, function, *arguments):
        self.over, self.said = multiprocessing.Event(), multiprocessing.Queue()
        self.process = multiprocessing.Process(target=self.run, args=(function, arguments), daemon=True)
        self.process.start()

    def run(self, function, arguments):
        # an attacker is another machine: what it computes must not be what slows the good sender
        os.nice(5)
        self.said.put(function(self.over, *arguments))

    def wait(self, seconds):
        """Its figures, if it ends by itself within this time."""
        with contextlib.suppress(queue.Empty):
            return self.said.get(timeout=seconds)
        raise TimeoutError("an attacker does not come to its end")

    def stop(self):
        self.over.set()
        return self.wait(60)

    def kill(self):
        self.process.kill()


def connect(port, source="127.0.0.1"):
    """A connection from this address."""
    connection = socket.socket()
    # the kernel chooses the port when it connects: one address and port can then serve several targets
    connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
    connection.bind((source, 0))
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    return connection


SLOW = {
    # heads that never end, a header a second
    "slow-head": ["-H", "-t", "POST", "-x", "64"],
    # bodies that never end
    "slow-body": ["-B", "-s", "8192", "-x", "64"],
    # ten requests in each connection, the most that the tool sends, and a window of a few bytes for the answers
    "slow-read": ["-X", "-k", "10", "-w", "10", "-y", "20", "-n", "1", "-z", "5"],
}


def slowhttptest(over, mode, url, connections, seconds):
    """The tool of that name."""
    command = ["slowhttptest", *SLOW[mode], "-u", url, "-c", connections, "-r", connections // 3, "-i", 1, "-l", seconds, "-p", 3]
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tool:
        said, _ = tool.communicate(timeout=seconds + 30)
    states = re.findall(r"(connected|error|closed): *(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", said))
    return {"code": tool.returncode, "last": dict(states[-3:]), "said": said[-2000:]}


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def in_threads(count, function):
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def idle(over, port, count, is_tls, hold):
    """Opens so many connections, over TLS to the end of the handshake, and sends nothing."""
    context, opened, failed = unverified(), [], []

    def some(number):
        for _ in range(number, count, 4):
            if over.is_set():
                return
            try:
                connection = connect(port)
                opened.append(context.wrap_socket(connection) if is_tls else connection)
            except OSError as error:
                failed.append(str(error))

    in_threads(4, some)
    time.sleep(hold)
    return {"opened": len(opened), "failed": len(failed)}


def wrong_tokens(over, port, requests, addresses):
    """Wrong tokens, as fast as this process can: twenty requests a connection, each after the answer to the one before."""
    counts, lock, each = {}, threading.Lock(), 20
    todo = queue.SimpleQueue()
    for number in range(requests // each):
        todo.put(f"127.{20 + number % addresses // 250}.1.{1 + number % 250}")

    def answers(source):
        body = b'{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"forged":true}'
        with contextlib.closing(connect(port, source)) as connection:
            for _ in range(each):
                head = (
                    f"POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {random.getrandbits(128):032x}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                connection.sendall(head.encode() + body)
                answer = connection.recv(4096)
                yield answer[9:12].decode() if answer else "closed"
                if not answer:
                    return

    def some(_):
        mine = {}
        while not over.is_set():
            try:
                source = todo.get_nowait()
            except queue.Empty:
                break
            try:
                for answer in answers(source):
                    mine[answer] = mine.get(answer, 0) + 1
            except ConnectionError:
                mine["closed"] = mine.get("closed", 0) + 1
        with lock:
            for answer, count in mine.items():
                counts[answer] = counts.get(answer, 0) + count

    began = time.monotonic()
    in_threads(32, some)
    return {"answers": counts, "seconds": time.monotonic() - began}


def unauthenticated(over, port, count, addresses):
    """Opens connections from ever more addresses, and holds so many of them."""
    held, opened, failed = [], 0, 0
    while not over.is_set():
        source = f"127.{100 + opened % addresses // 60_000}.{opened % addresses // 250 % 240}.{1 + opened % 250}"
        try:
            held.append(connect(port, source))
            opened += 1
        except OSError:
            failed += 1
        if len(held) > count:
            held.pop(0).close()
    return {"opened": opened, "failed": failed, "addresses": min(opened, addresses)}


def client_hello():
    """The first flight of a client, of which each is another one."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = unverified().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def garbage(over, port):
    """What is no handshake, as fast as this process can: random bytes, broken and truncated hellos, hellos and noise."""
    hellos = [client_hello() for _ in range(50)]
    counts = {}

    def some(number):
        chance = random.Random(number)
        kinds = {
            "random bytes": lambda hello: chance.randbytes(chance.randrange(1, 2000)),
            "a record of random bytes": lambda hello: b"\x16\x03\x01\x02\x00" + chance.randbytes(512),
            "a truncated hello": lambda hello: hello[: chance.randrange(1, len(hello))],
            "a damaged hello": lambda hello: hello[:40] + chance.randbytes(20) + hello[60:],
            "noise behind a hello": lambda hello: hello + chance.randbytes(500),
        }
        while not over.is_set():
            kind = chance.choice(list(kinds))
            counts[kind] = counts.get(kind, 0) + 1
            with contextlib.suppress(OSError), contextlib.closing(connect(port)) as connection:
                connection.sendall(kinds[kind](chance.choice(hellos)))
                # some wait for what the server says, some are gone at once
                if chance.random() < 0.5:
                    connection.settimeout(0.05)
                    connection.recv(4096)

    in_threads(4, some)
    return counts


def half_handshakes(over, port, count):
    """So many handshakes at once of which the client's second flight never comes."""
    hellos, held, closed = [client_hello() for _ in range(50)], [], 0
    while not over.is_set():
        while len(held) < count and not over.is_set():
            connection = connect(port)
            connection.sendall(random.choice(hellos))
            connection.setblocking(False)
            held.append(connection)
        # what the bridge has closed is opened again
        for connection in held[:]:
            with contextlib.suppress(BlockingIOError):
                try:
                    ended = not connection.recv(8192)
                except ConnectionError:
                    ended = True
                if ended:
                    held.remove(connection)
                    connection.close()
                    closed += 1
        time.sleep(0.1)
    return {"at once": count, "closed": closed}


def renegotiations(over, port):
    """TLS 1.2 clients that ask for a new handshake again and again."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-quiet"]
    clients = 0
    while not over.is_set():
        clients += 1
        # the bridge may end one at any time
        with contextlib.suppress(BrokenPipeError), subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as client:
            try:
                for _ in range(10):
                    client.stdin.write(b"R\n")
                    time.sleep(0.05)
            finally:
                client.kill()
    return {"clients": clients}


def unfinished_heads(over, port, count, hold):
    """Heads that take as much memory as a head may, and never end."""
    opened, failed = [], 0
    part = b"POST /green-api/webhook/ HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"x" * 120 * 1024
    for _ in range(count):
        if over.is_set():
            break
        try:
            connection = connect(port)
            connection.sendall(part)
            opened.append(connection)
        except OSError:
            failed += 1
    time.sleep(hold)
    return {"opened": len(opened), "failed": failed}
