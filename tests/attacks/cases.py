"""The attacks: what each one does, and what else must hold than for all of them."""

import contextlib
import http.client
import time
from typing import Callable, NamedTuple

import attackers
from attackers import Attacker
from rotation import rotation
from stage import Done

REQUESTS, ADDRESSES = 100_000, 1000  # of wrong tokens
IDLE = 5000
SECONDS = 9  # of an attack without an end of its own


@contextlib.contextmanager
def attacking(*started):
    """Attackers that are ended, whatever happens."""
    try:
        yield started
    finally:
        for attacker in started:
            attacker.kill()


def slow(mode):
    def attack(stage):
        url = f"http{'s' if stage.is_tls else ''}://127.0.0.1:{stage.target.port}/green-api/webhook/"
        with attacking(Attacker(attackers.slowhttptest, mode, url, IDLE, SECONDS)) as (tool,):
            figures = tool.wait(SECONDS + 60)
        # the tool says nothing of connections if it has not begun
        problems = [] if figures["last"] else [f"slowhttptest has not attacked: {figures['said']}"]
        return Done(f"slowhttptest, {IDLE} connections: {figures['last']}", problems)

    return attack


def idle(stage):
    with attacking(Attacker(attackers.idle, stage.target.port, IDLE, stage.is_tls, 3)) as (one,):
        figures = one.wait(120)
    few = figures["opened"] < IDLE * 0.9
    return Done(f"{figures['opened']} opened", [f"too few to prove anything: {figures}"] if few else [])


def unfinished_heads(stage):
    with attacking(Attacker(attackers.unfinished_heads, stage.target.port, IDLE, 3)) as (one,):
        figures = one.wait(120)
    few = figures["opened"] < IDLE * 0.9
    return Done(f"{figures['opened']} heads of 120 KiB", [f"too few to prove anything: {figures}"] if few else [])


def wrong_tokens(stage):
    with attacking(Attacker(attackers.wrong_tokens, stage.target.port, REQUESTS, ADDRESSES)) as (one,):
        figures = one.wait(180)
    answers = figures["answers"]
    other = set(answers) - {"401", "closed"}
    few = answers.get("401", 0) < REQUESTS * 0.5
    problems = [f"other answers than 401: {answers}"] if other else []
    problems += [f"too few were answered to prove anything: {answers}"] if few else []
    rate = sum(answers.values()) / figures["seconds"]
    return Done(f"{answers} from {ADDRESSES} addresses, {rate:,.0f} a second", problems)


def unauthenticated(stage):
    """Also clients with a valid token, each from an address that was never seen, must be served at once."""
    took, problems = [], []
    with attacking(Attacker(attackers.unauthenticated, stage.target.port, stage.connections * 3 // 2, 50_000)) as (one,):
        time.sleep(1)
        until, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            number += 1
            began = time.monotonic()
            try:
                connection = stage.target.connect(f"127.210.{number // 250}.{1 + number % 250}")
                body = b'{"typeWebhook":"incomingCall","instanceData":{"idInstance":7},"newcomer":%d}' % time.time_ns()
                if (status := stage.target.post(connection, body)) != 200:
                    problems.append(f"a newcomer with a valid token was answered {status}")
                took.append(time.monotonic() - began)
            except (OSError, http.client.HTTPException) as error:
                problems.append(f"a newcomer with a valid token failed: {type(error).__name__}: {error}")
            finally:
                connection.close()
            time.sleep(0.05)
        figures = one.stop()
    took.sort()
    newcomers = f"{len(took)} newcomers, median {took[len(took) // 2] * 1000:.1f} ms, longest {took[-1] * 1000:.1f} ms"
    if figures["opened"] < 4 * stage.connections:
        problems.append(f"too few to prove anything: {figures}")
    said = f"{figures['opened']} opened from {figures['addresses']} addresses for {stage.connections} connections; {newcomers}"
    return Done(said, problems, stored=len(took))


def garbage(stage):
    port = stage.target.port
    noise = [Attacker(attackers.garbage, port), Attacker(attackers.renegotiations, port)]
    half = Attacker(attackers.half_handshakes, port, 2000)
    handshakes = 0
    with attacking(*noise, half):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            handshakes = max(handshakes, int(stage.metric("tls_handshakes")))
            time.sleep(0.2)
        figures = [one.stop() for one in (*noise, half)]
    # one that was evicted counts until its task runs again
    problems = [f"{handshakes} handshakes at once, above http.limits.handshakes"] if handshakes > 512 + 64 else []
    return Done(f"{sum(figures[0].values())} broken hellos, {figures[1]}, half-finished handshakes: {figures[2]}", problems)


class Case(NamedTuple):
    attack: Callable
    on: tuple  # the bridges
    is_ratio_judged: bool
    does: str


CASES = {
    "slow-head": Case(slow("slow-head"), ("plain", "TLS"), True, "slowhttptest -H: heads that never end"),
    "slow-body": Case(slow("slow-body"), ("plain", "TLS"), True, "slowhttptest -B: bodies that never end"),
    "slow-read": Case(slow("slow-read"), ("plain", "TLS"), True, "slowhttptest -X: answers that are hardly read"),
    "idle": Case(idle, ("plain", "TLS"), True, f"{IDLE} idle connections; with TLS, after the handshake"),
    "unfinished-heads": Case(unfinished_heads, ("plain",), False, f"{IDLE} heads of 120 KiB without an end"),
    "wrong-tokens": Case(wrong_tokens, ("plain",), True, f"{REQUESTS:,} wrong tokens from {ADDRESSES:,} addresses"),
    "unauthenticated": Case(unauthenticated, ("small",), False, "unauthenticated from ever more addresses take all connections"),
    "tls-garbage": Case(garbage, ("TLS",), False, "broken hellos, renegotiations, 2,000 half-finished handshakes"),
    "rotation": Case(rotation, ("TLS",), False, "20 new certificates and 20 changes of the tokens in a minute"),
}
