"""The files of a release, and its Debian package in a new Debian. See tests/release/run --help."""

import hashlib
import io
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "image"))

from stage import PROBES, ROOT, WEBHOOK, Broken, Process, body, config, ended, post, prepare, run, stop_all, write_settings  # noqa: E402

MACHINE = platform.machine()
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
NAME = f"greenapi-bridge-{VERSION}-{MACHINE}"
ARCHIVE, IMAGE = f"{NAME}.tar.gz", f"{NAME}.image.tar.gz"
PACKAGE, CHART = f"greenapi-bridge_{VERSION}_{DEBIAN[MACHINE]}.deb", f"greenapi-bridge-{VERSION}.tgz"
ALWAYS = {ARCHIVE, IMAGE, PACKAGE, "greenapi-bridge.cdx.json", "THIRD-PARTY-NOTICES.txt"}
IN_ARCHIVE = {
    "greenapi-bridge", "systemd/greenapi-bridge.service", "systemd/greenapi-bridge.sysusers", "systemd/bridge.toml",
    "systemd/credentials.conf", "bridge.example.toml", "install-certificate", "alerts.yaml", "dashboard.json", "README.md",
    "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-NOTICES.txt", "completions/greenapi-bridge.bash",
    "completions/_greenapi-bridge", "completions/greenapi-bridge.fish", "man/greenapi-bridge.1", "man/greenapi-bridge-check.1",
}
# who may do what with what the package brings
MODES = {
    "usr/bin/greenapi-bridge": ("root", 0o755),
    "usr/lib/systemd/system/greenapi-bridge.service": ("root", 0o644),
    "usr/share/man/man1/greenapi-bridge.1.gz": ("root", 0o644),
    "usr/share/bash-completion/completions/greenapi-bridge": ("root", 0o644),
    "usr/share/zsh/vendor-completions/_greenapi-bridge": ("root", 0o644),
    "usr/share/fish/vendor_completions.d/greenapi-bridge.fish": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/copyright": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/bridge.example.toml": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/systemd/bridge.toml": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/systemd/credentials.conf": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/alerts.yaml": ("root", 0o644),
    "usr/share/doc/greenapi-bridge/dashboard.json": ("root", 0o644),
    "usr/share/greenapi-bridge/install-certificate": ("root", 0o755),
    "etc/greenapi-bridge": ("greenapi-bridge", 0o750),
}


def say(text):
    print(f"✓ {text}", flush=True)


def must(true, text):
    if not true:
        raise Broken(text)


def regular_files(data):
    """The names and bytes of the regular files of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name.removeprefix("./"): archive.extractfile(member).read() for member in archive if member.isfile()}


def check_files(folder):
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    must(set(sums) - {CHART} == ALWAYS, f"SHA256SUMS has {sorted(sums)}")
    must({path.name for path in folder.iterdir()} == set(sums) | {"SHA256SUMS"}, "the folder has other files than SHA256SUMS")
    for name, expected in sums.items():
        must(hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, f"{name} has another checksum")
    archive = {name.removeprefix(f"{NAME}/"): data for name, data in regular_files((folder / ARCHIVE).read_bytes()).items()}
    must(IN_ARCHIVE <= set(archive), f"{ARCHIVE} lacks {sorted(IN_ARCHIVE - set(archive))}")
    image = regular_files((folder / IMAGE).read_bytes())
    [layer] = [regular_files(data) for name, data in image.items() if name.endswith(".tar")]
    package = regular_files(subprocess.run(["dpkg-deb", "--fsys-tarfile", folder / PACKAGE], check=True, stdout=subprocess.PIPE).stdout)
    binaries = {archive["greenapi-bridge"], layer["greenapi-bridge"], package["usr/bin/greenapi-bridge"]}
    must(len(binaries) == 1, "archive, image and package have different binaries")
    everything = [*archive.items(), *image.items(), *package.items(), *((name, (folder / name).read_bytes()) for name in sums)]
    for name, data in everything:
        for place in (ROOT, pathlib.Path.home()):
            must(f"{place}/".encode() not in data, f"{name} names {place}")
    say(f"{folder.name}: {', '.join(sorted(sums))}; one binary in all of them")


class Debian:
    """A new Debian to change the root to."""

    def __init__(self, folder, archive):
        self.folder = folder
        folder.mkdir()
        run(["tar", "--extract", "--file", archive, "--directory", folder, "--numeric-owner"])
        run(["mount", "-t", "proc", "proc", folder / "proc"])

    def run(self, *words):
        code, said = ended(self.command(words))
        must(code == 0, f"in the new Debian, {words}: exit code {code}\n{said}")
        return said

    def command(self, words, user="root"):
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
                "chroot", f"--userspec={user}", self.folder, *words]


def unit(debian):
    """The settings of the unit's section [Service]."""
    text = (debian.folder / "usr/lib/systemd/system/greenapi-bridge.service").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def check_installed(debian):
    ids = debian.run("id", "greenapi-bridge")
    for name, (group, mode) in MODES.items():
        found = debian.run("stat", "--format", "%U %G %a", f"/{name}").strip()
        must(found == f"root {group} {mode:o}", f"/{name} is {found}")
    must(debian.run("/usr/bin/greenapi-bridge", "--version").startswith(f"greenapi-bridge {VERSION} ("), "another version")
    must(debian.run("bash", "-n", "/usr/share/bash-completion/completions/greenapi-bridge") == "", "the completion is no bash")
    must("/nologin" in debian.run("getent", "passwd", "greenapi-bridge"), "the user can log in")
    must(not debian.run("dpkg", "--verify", "greenapi-bridge").strip(), "installed files differ from the package's")
    say(f"installed: {ids.strip()}")


def check_started(debian, folder):
    """Started as the unit says, but without systemd."""
    service = unit(debian)
    write_settings(debian.folder / "etc/greenapi-bridge", config("", '[journal]\ndirectory = "/var/lib/greenapi-bridge"\n'))
    debian.run("chgrp", "-R", "greenapi-bridge", "/etc/greenapi-bridge")
    debian.run("install", "-d", "-o", "greenapi-bridge", "-g", "greenapi-bridge", "-m", "700", "/var/lib/greenapi-bridge")
    user = service["User"]
    bridge = Process(debian.command(service["ExecStart"].split(), f"{user}:{service.get('Group', user)}"), PROBES, folder / "bridge.log")
    debian.run("/usr/bin/greenapi-bridge", "check", "--ready", f"http://127.0.0.1:{PROBES}/readyz")
    must(post(body(1)) == (200, '{"stored":"journal"}'), f"nothing is stored; see {bridge.log}")
    bridge.stop()
    say(f"started as {user} by {service['ExecStart']}, and stored what was posted to port {WEBHOOK}")


def check_removed(debian):
    debian.run("dpkg", "--purge", "greenapi-bridge")
    folders = ("usr/share/doc/greenapi-bridge", "usr/share/greenapi-bridge")
    for name in ("usr/bin/greenapi-bridge", "usr/lib/systemd/system/greenapi-bridge.service", *folders):
        must(not (debian.folder / name).exists(), f"/{name} is still there")
    for name in ("etc/greenapi-bridge/bridge.toml", "etc/greenapi-bridge/tokens", "var/lib/greenapi-bridge/journal.db"):
        must((debian.folder / name).exists(), f"/{name} is gone")
    say("removed: the binary has gone, and the configuration and the journal are there")


def check_package(release, archive, folder):
    prepare()
    run(["ip", "link", "set", "lo", "up"])
    try:
        debian = Debian(folder / "debian", archive)
        shutil.copy(release / PACKAGE, debian.folder / "tmp")
        # twice, as an upgrade does
        for _ in range(2):
            debian.run("dpkg", "--install", f"/tmp/{PACKAGE}")
        check_installed(debian)
        check_started(debian, folder)
        check_removed(debian)
    finally:
        stop_all()


if __name__ == "__main__":
    try:
        if sys.argv[1] == "files":
            check_files(pathlib.Path(sys.argv[2]).resolve())
        else:
            check_package(*(pathlib.Path(word).resolve() for word in sys.argv[2:]))
    except Broken as broken:
        sys.exit(f"✗ {broken}")
