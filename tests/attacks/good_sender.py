"""The good sender: a valid token, an even rate, on connections that stay open and on new ones. A process of its own."""

import contextlib
import http.client
import json
import multiprocessing
import ssl
import statistics
import threading
import time
from typing import NamedTuple

SOURCE = "127.9.9.9"  # no attacker has this address
PATH = "/green-api/webhook/"
OPEN, OPEN_EACH = 8, 22.5  # connections that stay open, and the requests a second of each
NEW, NEW_EACH = 2, 10  # senders that open a connection for each request
PATIENCE = 30  # seconds; what takes longer has failed


class Sample(NamedTuple):
    """One request. A late start counts as waiting: whoever cannot send because the answer before is late waits too."""

    at: float
    took: float
    is_new: bool
    problem: str


def notification(instance, number):
    return json.dumps({
        "typeWebhook": "incomingMessageReceived",
        "instanceData": {"idInstance": instance, "wid": f"{instance}@c.us", "typeInstance": "whatsapp"},
        "timestamp": 1_700_000_000 + number,
        "idMessage": f"{instance}-{number}-{time.time_ns()}",
        "senderData": {"chatId": "79001234567@c.us", "sender": "79001234567@c.us", "senderName": "x" * 40},
        "messageData": {"typeMessage": "textMessage", "textMessageData": {"textMessage": "x" * 200}},
    }).encode()


class Target(NamedTuple):
    """Where to send, and the authority of its certificate; none means plain HTTP."""

    port: int
    authority: str | None
    token: str

    def connect(self, source=SOURCE):
        if self.authority is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE, source_address=(source, 0))
        context = ssl.create_default_context(cafile=self.authority)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, source_address=(source, 0), context=context
        )

    def post(self, connection, body, token=None):
        """The status."""
        head = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        connection.request("POST", PATH, body, head)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def send(target, instance, each, is_new, over, samples):
    """Posts so often a second until it is over."""
    connection, number = None, 0
    due = time.monotonic() + instance % 10 / 10 / each
    while not over.is_set():
        time.sleep(max(0, due - time.monotonic()))
        problem = ""
        try:
            connection = connection or target.connect()
            status = target.post(connection, notification(instance, number))
            problem = "" if status == 200 else f"refused: {status}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"failed: {type(error).__name__}: {error}"
        samples.append(Sample(due, time.monotonic() - due, is_new, problem))
        if is_new or problem:
            connection.close()
            connection = None
        number, due = number + 1, due + 1 / each


def work(target, pipe):
    over, samples = threading.Event(), []
    kinds = [(OPEN_EACH, False)] * OPEN + [(NEW_EACH, True)] * NEW
    threads = [
        threading.Thread(target=send, args=(target, 1_101_000_000 + number, each, is_new, over, samples))
        for number, (each, is_new) in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    pipe.recv()
    over.set()
    for thread in threads:
        thread.join()
    pipe.send(samples)


class GoodSender:
    """Sends from its start until `stop`, which returns all samples."""

    def __init__(self, target):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(target, theirs), daemon=True)
        self.process.start()

    def stop(self):
        self.pipe.send("stop")
        samples = self.pipe.recv()
        self.process.join()
        return samples

    def kill(self):
        with contextlib.suppress(ValueError):
            self.process.kill()


WINDOW = 1.5  # seconds


def p99(samples, begin, end):
    """The p99 of each window of this time, and of those their median: one moment of a busy machine is not an attack."""
    windows = []
    while begin + WINDOW <= end:
        inside = sorted(sample.took for sample in samples if begin <= sample.at < begin + WINDOW)
        if inside:
            windows.append(inside[min(len(inside) - 1, int(0.99 * len(inside)))])
        begin += WINDOW
    return statistics.median(windows) if windows else float("nan")
