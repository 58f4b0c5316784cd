"""Which server a proxy chooses by the URL."""

import collections
import contextlib
import http.client
import socket
import threading
import time

from environment import free_port
from fleet import HEADINGS, Outcome
import proxies

INSTANCES = 300
ANSWER = "HTTP/1.1 200 OK\r\nX-Server: {}\r\nContent-Length: 0\r\n\r\n"
REQUEST_ENDS = b"\r\n\r\n{}"


class Server(threading.Thread):
    """Answers 200 and says which one it is; once stopped, nothing is there."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.answer, self.port, self.open = ANSWER.format(name).encode(), free_port(), []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        with contextlib.suppress(OSError):
            request = b""
            while news := connection.recv(65536):
                request += news
                if request.endswith(REQUEST_ENDS):
                    connection.sendall(self.answer)
                    request = b""

    def stop(self):
        # a thread that waits in accept or recv hears of a shutdown, not of a close
        for socket_ in [self.listener, *self.open]:
            with contextlib.suppress(OSError):
                socket_.shutdown(socket.SHUT_RDWR)
            socket_.close()


def chosen(proxy, instances):
    """The server of each instance, or the status instead of a 200."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    servers = {}
    for instance in instances:
        connection.request("POST", f"/green-api/webhook/?instance={instance}", b"{}")
        answer = connection.getresponse()
        answer.read()
        servers[instance] = answer.headers["X-Server"] if answer.status == 200 else answer.status
    connection.close()
    return servers


def moved(before, after):
    """How many instances went from which server to which other."""
    return collections.Counter((before[of], after[of]) for of in before if before[of] != after[of])


def check(proxy, stage, absent_status):
    """Problems of this proxy."""
    problems, servers = [], {name: Server(name) for name in "abcd"}
    numbers = {name: number for number, name in enumerate("abcd", 1)}
    instances = range(1_101_000_001, 1_101_000_001 + INSTANCES)

    def ask(names):
        listed = [proxies.Server(name, numbers[name], servers[name].port) for name in names]
        proxy.configure(*([HEADINGS[True]] if proxy.name == "haproxy" else []), listed)
        proxy.stop()
        proxy.start()
        return chosen(proxy, instances)

    three = ask("abc")
    shares = collections.Counter(three.values())
    stage.say(f"{proxy.name}: {dict(sorted(shares.items()))}")
    if set(shares) != set("abc") or not all(0.2 < count / INSTANCES < 0.47 for count in shares.values()):
        problems.append(f"{proxy.name} does not share evenly: {shares}")
    if chosen(proxy, instances) != three:
        problems.append(f"{proxy.name} chooses differently the second time")
    if proxy.name == "haproxy" and (other := moved(three, ask("cab"))):
        problems.append(f"{proxy.name}: another order in the file moves instances: {other}")
    if (wrong := moved(three, ask("ab"))) and any(before != "c" for before, _ in wrong):
        problems.append(f"{proxy.name} without c: {wrong}")
    added = moved(three, ask("abcd"))
    if not added or any(after != "d" for _, after in added):
        problems.append(f"{proxy.name} with d: {added}")
    stage.say(f"{proxy.name}: {sum(added.values())} of {INSTANCES} instances move when a fourth comes")
    ask("abc")
    servers["b"].stop()
    # each costs 3 s in HAProxy
    of_b = [of for of in instances if three[of] == "b"][:3]
    others = [of for of in instances if three[of] != "b"]
    absent = chosen(proxy, of_b)
    if set(absent.values()) != {absent_status}:
        problems.append(f"{proxy.name}, b absent: {absent}")
    if chosen(proxy, others) != {of: three[of] for of in others}:
        problems.append(f"{proxy.name}, b absent: other instances move")
    proxy.stop()
    return problems


def distribution(stage):
    """HAProxy and nginx before servers that only say who they are"""
    began = time.monotonic()
    stage.folder.mkdir()
    problems = check(proxies.Haproxy(stage.folder), stage, 503) + check(proxies.Nginx(stage.folder), stage, 502)
    return Outcome(["" for _ in range(10)] + [f"{time.monotonic() - began:.0f} s"], problems)
