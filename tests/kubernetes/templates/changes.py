"""What a change of values does to running bridges."""

from matrix import ALLOW, KAFKA, NATS_LOGIN, WITHOUT_NATS
from render import NATS, container, merged, objects, only, sources, toml, workload


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


def check_removals():
    """null in a file of values removes the key of another one, as if it had never been there."""
    limited = {"resources": {"limits": {"cpu": "2"}}}
    found = objects(merged(NATS, NATS_LOGIN, KAFKA, limited, WITHOUT_NATS))
    config = toml(found)[1]
    assert "nats" not in config and "level" not in config["log"], config
    assert not [path for path in sources(found) if "nats" in path], sources(found)
    ports = [port["port"] for port in only(found, "NetworkPolicy")["spec"]["egress"][1]["ports"]]
    assert ports == [9093], ports
    assert container(found)["resources"]["limits"] == {"memory": "1Gi"}, container(found)["resources"]
    return "null removes sections, files and limits"
