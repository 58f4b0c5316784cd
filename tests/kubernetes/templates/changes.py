"""What a change of values does to running bridges."""

from matrix import ALLOW
from render import NATS, merged, objects, workload


def checksum(*layers):
    found = objects(merged(NATS, *layers))
    return workload(found)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]


def check_restarts():
    """A key that needs a restart restarts the bridges; auth.allow_from, which is applied while they run, does not."""
    before = checksum()
    assert checksum({"config": {"log": {"level": "debug"}}}) != before
    other = merged(ALLOW, {"config": {"auth": {"allow_from": ["green-api"]}}})
    assert before == checksum(ALLOW) == checksum(other), "auth.allow_from restarts bridges"
    return "only what needs a restart restarts bridges"
