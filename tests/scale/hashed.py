"""Bridges with journals behind a proxy that chooses by the URL: each instance stays with one of them."""

import signal
import time

from fleet import Fleet

INSTANCES, EACH = 200, 2
# What nobody should do with journals: the proxy asks whether they are ready, and passes the requests of one that is not to
# another.
FAILOVER = {
    "    no option redispatch ": "    option httpchk\n    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host bridge\n"
    "    option redispatch 1\n    default-server check port 3002 inter 1s fall 2 rise 2 ",
}


def with_an_outage(stage, changes, disorder):
    """The broker away and back; one bridge is away while it comes back."""
    began = time.monotonic()
    fleet = Fleet(stage, 2, journal=True, changes=changes)
    try:
        fleet.sleep(3 if changes else 0)
        fleet.send_load(INSTANCES, EACH)
        fleet.sleep(stage.random.uniform(2, 3))
        fleet.kill_broker()
        fleet.sleep(stage.random.uniform(3, 4))
        away = stage.random.choice(fleet.bridges)
        fleet.stop_bridge(away)
        # the proxy tries for 3 s before it answers 503
        fleet.sleep(stage.random.uniform(5, 6))
        fleet.broker.start()
        fleet.sleep(stage.random.uniform(3, 4))
        away.start()
        fleet.sleep(3)
        fleet.wait_until_drained()
        outcome = fleet.outcome(began, disorder=disorder)
        [figures] = [sender.figures() for sender in fleet.senders]
        if not figures["stored"].get("journal"):
            outcome.problems.append("nothing went to a journal")
        if not changes and not figures["answered"].get("503"):
            outcome.problems.append("the instances of the bridge that was away got no 503")
        return outcome
    finally:
        fleet.close()


def hashed(stage):
    """as docs/scale.md has it: the instances of the bridge that is away wait for it"""
    return with_an_outage(stage, None, disorder=False)


def failover(stage):
    """with failover: the other bridge passes the backlog of the one that is away"""
    return with_an_outage(stage, FAILOVER, disorder=True)


def add(stage, join, disorder):
    """A third bridge joins while the others have a backlog."""
    began = time.monotonic()
    fleet = Fleet(stage, 3, journal=True, served=2)
    try:
        fleet.send_load(INSTANCES, EACH)
        fleet.sleep(stage.random.uniform(1, 2))
        fleet.kill_broker()
        fleet.sleep(stage.random.uniform(3, 4))
        join(fleet)
        fleet.sleep(3)
        if not fleet.bridges[2].metric("notifications_total"):
            fleet.problems.append("the proxy passes nothing to the third bridge")
        fleet.wait_until_drained()
        return fleet.outcome(began, disorder=disorder)
    finally:
        fleet.close()


def add_replica(stage):
    """as docs/scale.md has it: paused, drained, added"""

    def join(fleet):
        fleet.serve(2, paused=True)
        fleet.proxy.reload()
        fleet.broker.start()
        fleet.until("the old process of the proxy does not end", fleet.proxy.old_has_ended)
        fleet.sleep(1.5)  # the metric is a second old at most
        fleet.until("a journal has a backlog", lambda: fleet.backlog() == 0)
        fleet.serve(3)
        fleet.proxy.reload()

    return add(stage, join, disorder=False)


def add_at_once(stage):
    """without waiting: the third one passes the backlog of the others"""

    def join(fleet):
        fleet.serve(3)
        fleet.proxy.reload()
        fleet.sleep(3)
        # they find the broker a little later than the third one does
        for bridge in fleet.bridges[:2]:
            bridge.process.child.send_signal(signal.SIGSTOP)
        fleet.broker.start()
        fleet.until("the third bridge has a backlog", lambda: fleet.bridges[2].metric("journal_records") == 0)
        for bridge in fleet.bridges[:2]:
            bridge.process.child.send_signal(signal.SIGCONT)

    return add(stage, join, disorder=True)
