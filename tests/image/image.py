"""The image as it is shipped: what is in it, and that it serves. See tests/image/run --help."""

import hashlib
import json
import os
import pathlib
import platform
import re
import signal
import sys
import tarfile

from stage import (
    ROOT, WEBHOOK, Broken, Buildah, Nats, Root, body, config, ended, listens, post, prepare, run, serving, stop_all, wait_until,
    write_settings,
)
import names

LARGEST = 15_000_000
DIRECTORIES = {"etc", "etc/ssl", "etc/ssl/certs"}
# of the user, for a volume
OWN = "journal"
FILES = {"greenapi-bridge", "etc/ssl/certs/ca-certificates.crt"}


def say(text):
    print(f"✓ {text}", flush=True)


def must(true, text):
    if not true:
        raise Broken(text)


def manifest(key):
    """A key of Cargo.toml."""
    return re.search(rf'^{key} = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def contents(archive):
    """The configuration of the image, and the members of its layers."""
    with tarfile.open(archive) as opened:
        [entry] = json.load(opened.extractfile("manifest.json"))
        members = []
        for name in entry["Layers"]:
            with tarfile.open(fileobj=opened.extractfile(name)) as layer:
                members += layer.getmembers()
        return entry, json.load(opened.extractfile(entry["Config"])), members


def check_contents(archive):
    size = archive.stat().st_size
    must(size < LARGEST, f"{archive} has {size} bytes, and may have {LARGEST}")
    entry, image, members = contents(archive)
    found = {member.name.removeprefix("./").rstrip("/"): member for member in members}
    must(set(found) - {""} == DIRECTORIES | FILES | {OWN}, f"in the image are {sorted(found)}")
    for name, member in found.items():
        must(member.isdir() if name in DIRECTORIES | {"", OWN} else member.isfile(), f"{name} is something else")
        must(member.mode & 0o7022 == 0, f"{name} has mode {member.mode:o}")
        owner = 65532 if name == OWN else 0
        must(member.uid == member.gid == owner, f"{name} belongs to {member.uid}:{member.gid}")
    settings = image["config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in settings["Labels"].items()}
    commit = run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"]).strip()
    for name, expected in (
        ("title", "greenapi-bridge"), ("version", manifest("version")), ("licenses", manifest("license")),
        ("description", manifest("description")),
    ):
        must(labels[name] == expected, f"label {name} = {labels[name]}")
    must(labels["revision"].removesuffix("-dirty") == commit, f"label revision = {labels['revision']}, and the commit is {commit}")
    must(re.fullmatch(r"[1-9]\d*:[1-9]\d*", settings["User"]), f"user {settings['User']}")
    must(settings["Entrypoint"] == ["/greenapi-bridge"] and not settings["Cmd"], f"runs {settings['Entrypoint']}")
    must(set(settings["ExposedPorts"]) == {"3000/tcp", "3002/tcp"}, f"exposes {settings['ExposedPorts']}")
    must(not settings.get("Volumes"), f"has volumes: {settings.get('Volumes')}")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    must((image["os"], image["architecture"]) == ("linux", machine), f"is for {image['os']} on {image['architecture']}")
    must(entry["RepoTags"] == [f"greenapi-bridge:{manifest('version')}"], f"is called {entry['RepoTags']}")
    say(f"{archive.name}: {size / 1e6:.1f} MB, two files, no shell, user {settings['User']}, labels of {labels['revision']}")
    return settings["Healthcheck"]["Test"]


def check_repeatable(binary, archive):
    first = hashlib.sha256(archive.read_bytes()).digest()
    run([ROOT / "deploy/build-image", binary])
    must(hashlib.sha256(archive.read_bytes()).digest() == first, "made again, the image has other bytes")
    say("made again, the image has the same bytes")


def check_buildah(folder, archive, health, nats):
    """Any user, by buildah; and the health check that is written in the image."""
    buildah, settings = Buildah(folder), folder / "settings"
    container = buildah.container(archive)
    write_settings(settings, config('[nats]\nservers = ["nats://127.0.0.1:4222"]\n'))

    def bridge(words):
        return buildah.command(container, ["/greenapi-bridge", *words], settings)

    must(health[0] == "CMD", f"the health check is {health}")
    asked = buildah.command(container, health[1:], settings)
    code, said = ended(asked)
    must(code == 1 and "no connection to 127.0.0.1 port 3002" in said, f"health check without a bridge: {code} {said}")
    wait_until("provision", lambda: ended(bridge(["provision"]))[0] == 0)
    running = serving(bridge([]), folder / "buildah.log")
    wait_until("ready", lambda: ended(asked)[0] == 0)
    must(post(body(1)) == (200, '{"stored":"broker"}'), f"the bridge stores nothing; see {running.log}")
    must(nats.bodies() == [body(1)], f"in the stream are {nats.bodies()}")
    code, said = ended(buildah.command(container, ["/bin/sh", "-c", "exit 0"], settings))
    must(code != 0, "the image has a shell")
    # buildah does not pass a signal on to what it runs
    os.killpg(running.child.pid, signal.SIGTERM)
    running.stop()
    wait_until("the bridge stops", lambda: not listens(WEBHOOK))
    say("any user: stored in a real nats-server, byte for byte; the health check fails before, and succeeds then")
    return buildah.root(container)


def check_volume(root, folder):
    """Without a configuration: the journal in a volume at /data, and what is said where there is none."""
    code, said = root.run([], configured=False)
    must(code == 2 and "/data" in said, f"without a volume: exit code {code}\n{said}")
    data = folder / "data"
    data.mkdir()
    os.chown(data, 65532, 65532)
    root.volume(data, "data")
    bridge = serving(root.command([], configured=False), folder / "volume.log", WEBHOOK)
    must(post(body(2)) == (200, '{"stored":"journal"}'), f"nothing is stored in the volume; see {bridge.log}")
    bridge.stop()
    must((data / "journal.db").stat().st_uid == 65532, "the journal belongs to another user")
    say("read-only root: without a configuration it stores in the volume at /data, and says what is wrong without one")


def main():
    binary, archive, folder = (pathlib.Path(word) for word in sys.argv[1:])
    prepare()
    run(["ip", "link", "set", "lo", "up"])
    try:
        health = check_contents(archive.resolve())
        check_repeatable(binary, archive.resolve())
        nats = Nats(folder)
        unpacked = check_buildah(folder, archive.resolve(), health, nats)
        root = Root(unpacked)
        check_volume(root, folder)
        names.resolve(root, folder, say)
        names.trust(root, folder, say)
    finally:
        stop_all()


if __name__ == "__main__":
    try:
        main()
    except Broken as broken:
        sys.exit(f"✗ {broken}")
