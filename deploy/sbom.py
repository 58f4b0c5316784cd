"""Completes the SBOM that cargo-cyclonedx wrote, checks it, and writes the third-party notices. deploy/sbom runs it."""

import argparse
import json
import pathlib
import re
import subprocess
import sys

import fastjsonschema


class CLibrary:
    """A C library that a crate brings as source and compiles in."""

    def __init__(self, name, crate, licence, text, version_file, version, cpe=None):
        self.name, self.crate, self.licence, self.text = name, crate, licence, text
        self.version_file, self.version, self.cpe = version_file, version, cpe


def dotted(match):
    return ".".join(match.groups())


def mimalloc_version(match):
    """30302 stands for 3.3.2."""
    number = int(match[1])
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def librdkafka_version(match):
    """0x020c01ff stands for 2.12.1."""
    return ".".join(str(int(part, 16)) for part in match.groups())


C_LIBRARIES = [
    CLibrary("librdkafka", "rdkafka-sys", "BSD-2-Clause", "librdkafka/LICENSES.txt",
             "librdkafka/src/rdkafka.h", (r"RD_KAFKA_VERSION +0x(..)(..)(..)ff", librdkafka_version)),
    CLibrary("openssl", "openssl-src", "Apache-2.0", "openssl/LICENSE.txt",
             "openssl/VERSION.dat", (r"MAJOR=(\d+)\nMINOR=(\d+)\nPATCH=(\d+)", dotted), "openssl:openssl"),
    CLibrary("sqlite", "libsqlite3-sys", "blessing", "sqlite3/sqlite3.h",
             "sqlite3/sqlite3.h", (r'SQLITE_VERSION +"(.+)"', dotted), "sqlite:sqlite"),
    CLibrary("zlib", "libz-sys", "Zlib", "src/zlib/LICENSE",
             "src/zlib/zlib.h", (r'ZLIB_VERSION "(.+)"', dotted), "zlib:zlib"),
    CLibrary("zstd", "zstd-sys", "BSD-3-Clause", "zstd/LICENSE", "zstd/lib/zstd.h",
             (r"VERSION_MAJOR +(\d+)\n.*VERSION_MINOR +(\d+)\n.*VERSION_RELEASE +(\d+)", dotted), "facebook:zstandard"),
    CLibrary("mimalloc", "libmimalloc-sys", "MIT", "c_src/mimalloc/v3/LICENSE",
             "c_src/mimalloc/v3/include/mimalloc.h", (r"MI_MALLOC_VERSION +(\d+)", mimalloc_version)),
]

# These crates name a library only so that no second copy of them is linked; their C is their own.
OWN_C = {"ring", "openssl-sys"}

LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def fail(text):
    sys.exit(f"error: {text}")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def crates_of_the_binary(target, edges):
    """What `cargo tree` says is built for the release binary, without the bridge itself, as (name, version)."""
    tree = cargo("tree", "--locked", "--target", target, "--edges", edges, "--prefix", "none", "--format", "{p}")
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in crates if name != "greenapi-bridge"}


def component_key(component):
    return component["name"], component["version"]


def keep_only(sbom, wanted):
    """Removes what the lock file knows and the binary does not have; cargo-cyclonedx counts features of tests too."""
    dropped = {component["bom-ref"] for component in sbom["components"] if component_key(component) not in wanted}
    sbom["components"] = [component for component in sbom["components"] if component["bom-ref"] not in dropped]
    sbom["dependencies"] = [entry for entry in sbom["dependencies"] if entry["ref"] not in dropped]
    for entry in sbom["dependencies"]:
        if "dependsOn" in entry:
            entry["dependsOn"] = [ref for ref in entry["dependsOn"] if ref not in dropped]


def c_libraries(packages):
    """The C libraries of these crates, each with its version and the folder of its crate."""
    known = {library.crate for library in C_LIBRARIES} | OWN_C
    unknown = [package["name"] for package in packages if package["links"] and package["name"] not in known]
    if unknown:
        fail(f"{', '.join(unknown)}: may bring a C library; add it to C_LIBRARIES or OWN_C in deploy/sbom.py")
    for library in C_LIBRARIES:
        package = next((package for package in packages if package["name"] == library.crate), None)
        if package is None:
            fail(f"{library.name}: {library.crate} is not in the binary any more; remove it from deploy/sbom.py")
        folder = pathlib.Path(package["manifest_path"]).parent
        pattern, version = library.version
        found = re.search(pattern, (folder / library.version_file).read_text(encoding="utf-8"))
        if not found:
            fail(f"{library.name}: no version in {folder / library.version_file}")
        yield library, version(found), package


def add_c_libraries(sbom, libraries):
    refs = {component_key(component): component["bom-ref"] for component in sbom["components"]}
    entries = {entry["ref"]: entry for entry in sbom["dependencies"]}
    for library, version, package in libraries:
        purl = f"pkg:generic/{library.name}@{version}"
        component = {"type": "library", "bom-ref": purl, "name": library.name, "version": version, "purl": purl,
                     "scope": "required", "licenses": [{"expression": library.licence}]}
        if library.cpe:
            component["cpe"] = f"cpe:2.3:a:{library.cpe}:{version}:*:*:*:*:*:*:*"
        sbom["components"].append(component)
        sbom["dependencies"].append({"ref": purl})
        entries[refs[package["name"], package["version"]]].setdefault("dependsOn", []).append(purl)


def check_schema(sbom):
    folder = next(pathlib.Path(path) / "cyclonedx/schema/_res" for path in sys.path
                  if (pathlib.Path(path) / "cyclonedx/schema/_res").is_dir())

    def load(address):
        return json.loads((folder / address.rsplit("/", 1)[1]).read_text(encoding="utf-8"))

    schema = load("/bom-1.5.SNAPSHOT.schema.json")
    # the formats it names, such as iri-reference, are not checked
    validate = fastjsonschema.compile(schema, handlers={"http": load, "https": load}, use_formats=False)
    try:
        validate(sbom)
    except fastjsonschema.JsonSchemaException as error:
        fail(f"the SBOM breaks the schema of CycloneDX: {error}")


def licence_texts(package):
    """The texts in a crate's source; where it has none, that of the repository it belongs to is not known, so ours."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and LICENCE_FILE.match(path.name)
                   and path.suffix not in {".rs", ".py"})
    if files:
        return [path.read_text(encoding="utf-8", errors="replace") for path in files]
    own = {"MIT": "LICENSE-MIT", "Apache-2.0": "LICENSE-APACHE"}
    named = next((name for name in own if name in re.split(r"[ /()]+", package["license"])), None)
    if named is None:
        fail(f"{package['name']} has no licence text, and {package['license']} is none of {', '.join(own)}")
    text = pathlib.Path(own[named]).read_text(encoding="utf-8")
    owner = ", ".join(package["authors"]) or f"the authors of {package['repository']}"
    return [re.sub(r"(?m)^Copyright .*$", lambda _: f"Copyright (c) {owner}", text, count=1) if named == "MIT" else text]


def library_text(library, package):
    text = (pathlib.Path(package["manifest_path"]).parent / library.text).read_text(encoding="utf-8")
    # SQLite has no licence but the words at the head of its source
    return text.split("*/")[0] if library.text.endswith(".h") else text


def notices(packages, libraries):
    """The list of all parts with their licences, and each text once with the parts that it belongs to."""
    parts, texts = [], {}

    def add_text(text, name):
        # the same words in other lines are the same text
        _, users = texts.setdefault(" ".join(text.split()), (text.strip("\n"), []))
        users.append(name)

    for package in packages:
        name = f"{package['name']} {package['version']}"
        parts.append((name, package["license"], package["repository"] or ""))
        for text in licence_texts(package):
            add_text(text, name)
    for library, version, package in libraries:
        name = f"{library.name} {version}"
        parts.append((name, library.licence, f"in {package['name']} {package['version']}"))
        add_text(library_text(library, package), name)
    lines = ["greenapi-bridge contains the following software.", ""]
    lines += [f"{name}  ({licence})  {where}".rstrip() for name, licence, where in sorted(parts)]
    for text, users in sorted(texts.values(), key=lambda entry: entry[1]):
        lines += ["", "=" * 100, ", ".join(sorted(set(users))), "-" * 100, text]
    return "\n".join(lines) + "\n"


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("target")
    arguments.add_argument("sbom", type=pathlib.Path)
    arguments.add_argument("folder", type=pathlib.Path)
    options = arguments.parse_args()

    wanted = crates_of_the_binary(options.target, "normal,build")
    if not crates_of_the_binary(options.target, "normal") <= wanted:
        fail("cargo tree has crates in the binary that are not in the build")
    sbom = json.loads(options.sbom.read_text(encoding="utf-8"))
    keep_only(sbom, wanted)
    have = {component_key(component) for component in sbom["components"]}
    if have != wanted:
        fail(f"the SBOM lacks {sorted(wanted - have)}")
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", options.target))
    packages = [package for package in metadata["packages"] if component_key(package) in wanted]
    libraries = list(c_libraries(packages))
    add_c_libraries(sbom, libraries)
    without = [component["name"] for component in sbom["components"] if not component.get("licenses")]
    if without:
        fail(f"no licence: {', '.join(without)}")
    check_schema(sbom)

    written = options.folder / "greenapi-bridge.cdx.json"
    # where it was built is nobody's business
    text = json.dumps(sbom, indent=2).replace(f"file://{pathlib.Path.cwd()}", "file://.")
    written.write_text(text + "\n", encoding="utf-8")
    (options.folder / "THIRD-PARTY-NOTICES.txt").write_text(notices(packages, libraries), encoding="utf-8")
    print(f"{written}: {len(packages)} crates, {len(libraries)} C libraries")


if __name__ == "__main__":
    main()
