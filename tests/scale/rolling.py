"""Two bridges without a journal, replaced one after the other while senders post."""

import time

from fleet import Fleet

INSTANCES, EACH = 50, 4
DELAY = "5s"  # as docs/scale.md has it
# until the proxy has seen it ready twice, a second apart, and some requests went there
SEEN = 4


def replace_each(stage, end):
    """Ends each bridge in turn, as `end` does, and starts it again; the fleet afterwards."""
    began = time.monotonic()
    fleet = Fleet(stage, 2, journal=False, delay=DELAY)
    try:
        fleet.sleep(SEEN)
        fleet.send_load(INSTANCES, EACH)
        for bridge in fleet.bridges:
            fleet.sleep(stage.random.uniform(1, 2))
            serves(fleet, bridge)
            end(fleet, bridge)
            bridge.start()
            fleet.sleep(SEEN)
            serves(fleet, bridge)
        fleet.wait_until_drained()
        return fleet, fleet.outcome(began)
    finally:
        fleet.close()


def serves(fleet, bridge):
    """Whether the proxy passes requests to it, else the scenario proves nothing."""
    fleet.until(
        f"the proxy passes nothing to bridge {bridge.folder.name}", lambda: (bridge.metric("notifications_total") or 0) > 0, 20
    )


def rolling(stage):
    """each replaced with SIGTERM, readiness respected: no request fails"""
    fleet, outcome = replace_each(stage, Fleet.stop_bridge)
    [figures] = [sender.figures() for sender in fleet.senders]
    if set(figures["answered"]) != {"200"} or figures["faults"] or figures["repeats"]:
        outcome.problems.append(f"not every request was answered 200 at once: {figures}")
    return outcome


def rolling_kill(stage):
    """each killed: what was in flight fails, is counted, and is sent again"""

    def kill(fleet, bridge):
        bridge.kill()
        fleet.sleep(2)

    _, outcome = replace_each(stage, kill)
    return outcome
