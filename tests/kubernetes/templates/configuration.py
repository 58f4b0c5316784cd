"""The rendered bridge.toml by the bridge itself: `greenapi-bridge check --offline`."""

import base64
import binascii
import os
import pathlib
import shutil
import subprocess
import tempfile

from matrix import MATRIX
from render import CHART, NATS, Refused, container, merged, objects, sources, text, toml

BRIDGE = os.environ["BRIDGE_TEST_PROGRAM"]


def nkey_seed():
    """A seed of a user of NATS: two bytes for its kind, the key, and a checksum, in base 32."""
    whole = bytes([144 | 160 >> 5, (160 & 31) << 3]) + os.urandom(32)
    return base64.b32encode(whole + binascii.crc_hqx(whole, 0).to_bytes(2, "little")).decode().rstrip("=")


def credentials(seed):
    """A file of NATS credentials; the client does not look into the JWT."""
    return (
        "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **options)


def make_certificate(folder):
    """A certificate and its key."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    done = run(
        *"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=bridge".split(),
        "-keyout", str(key), "-out", str(certificate),
    )
    assert done.returncode == 0, done.stderr
    return certificate.read_text(), key.read_text()


def content(path, certificate, key, creds):
    """What a Secret would hold for this key."""
    if path.endswith(("certificate_file", "ca_file", ".location")):
        return certificate
    if path.endswith("key_file") and not path.endswith("nkey_file"):
        return key
    if path.endswith("credentials_file"):
        return creds
    if path.endswith("tokens_file"):
        return "a-token-of-some-length-for-tests-4711\n"
    return "not-empty\n"


def lay_out(folder, found, made):
    """The folder as the kubelet mounts it."""
    (folder / "bridge.toml").write_text(toml(found)[0].replace("/etc/greenapi-bridge/", f"{folder}/"))
    for path in sources(found):
        if path != "bridge.toml":
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content(path, *made))
            file.chmod(0o440)


def check_one(name, values, made):
    """The bridge accepts it; only the journal's folder is another one here."""
    found = objects(values)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        lay_out(folder, found, made)
        config = folder / pathlib.Path(container(found)["env"][0]["value"]).name
        environment = {"PATH": os.environ["PATH"], "BRIDGE_CONFIG": str(config)}
        if "journal" in toml(found)[1]:
            environment["BRIDGE_JOURNAL__DIRECTORY"] = str(folder / "journal")
        done = run(BRIDGE, "check", "--offline", env=environment)
    assert done.returncode == 0, f"{name}: check --offline ends with {done.returncode}:\n{done.stdout}{done.stderr}"


def check_configurations():
    """Each bridge.toml of the matrix is accepted; a wrong one is not."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = make_certificate(pathlib.Path(folder))
    made = (certificate, key, credentials(nkey_seed()))
    for name, values in MATRIX.items():
        check_one(name, values, made)
    wrong = {**MATRIX["nats"], "config": {**MATRIX["nats"]["config"], "http": {"max_bodi": "1MiB"}}}
    try:
        check_one("wrong", wrong, made)
    except AssertionError as error:
        assert "max_bodi" in str(error), error
    else:
        raise AssertionError("an unknown key is accepted: this check proves nothing")
    return f"{len(MATRIX)} configurations, accepted by check --offline"


def check_toml():
    """A number in a list stays what it is, and what TOML cannot express is never written as if it were the configuration."""
    written = toml(objects(merged(NATS, {"config": {"route": {"numbers": [20000000, "a", 1.5]}}})))[0]
    assert 'numbers = [20000000, "a", 1.5]' in written, written
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "greenapi-bridge"
        shutil.copytree(CHART, chart)
        # the checks refuse null in a list before it comes to this
        (chart / "templates/null.yaml").write_text(
            '{{- $config := dict "log" (dict "level" (list nil)) }}'
            '{{- include "greenapi-bridge.toml" (dict "Values" (set (deepCopy .Values) "config" $config)) }}'
        )
        try:
            rendered = text(NATS, chart=chart)
        except Refused as refused:
            assert "config cannot be written as TOML: cannot encode array with nil element; remove" in str(refused), refused
        else:
            raise AssertionError(f"an error of the encoder is rendered:\n{rendered}")
    return "numbers in lists stay numbers, and an error of the encoder ends the rendering"
