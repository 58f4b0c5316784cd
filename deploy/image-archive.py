"""Rewrites an image archive without the random names that buildah gives to the container it built in."""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import tarfile


def repeatable(config):
    """The configuration without the id and the host name of the container, which differ in each build."""
    for name in ("container", "container_config"):
        config.pop(name, None)
    config["config"]["Hostname"] = ""
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def add(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    archive.addfile(entry, io.BytesIO(data))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("written", type=pathlib.Path, help="what `buildah push … docker-archive:` wrote")
    arguments.add_argument("name", help="the image's name and tag")
    arguments.add_argument("archive", type=pathlib.Path, help="the file to write, .tar.gz")
    options = arguments.parse_args()

    with tarfile.open(options.written) as written:
        def read(name):
            return written.extractfile(name).read()

        [manifest] = json.loads(read("manifest.json"))
        config = repeatable(json.loads(read(manifest["Config"])))
        layers = {name: read(name) for name in manifest["Layers"]}
    manifest = {"Config": f"{hashlib.sha256(config).hexdigest()}.json", "RepoTags": [options.name], "Layers": list(layers)}
    with open(options.archive, "wb") as file, \
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed, \
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        add(archive, "manifest.json", json.dumps([manifest]).encode())
        add(archive, manifest["Config"], config)
        for name, data in layers.items():
            add(archive, name, data)


if __name__ == "__main__":
    main()
