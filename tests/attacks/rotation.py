"""New certificates and new tokens while a good sender posts."""

import os
import shutil
import socket
import ssl
import time

from good_sender import notification
from stage import Done

CHANGES, EVERY = 20, 3.0
SOON, NEVER = 5, 30  # seconds for a change to be in use: what is promised, and what fails


def shown(port, authority):
    """The certificate that a new handshake gets, DER."""
    context = ssl.create_default_context(cafile=authority)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with context.wrap_socket(connection, server_hostname="localhost") as client:
            return client.getpeercert(binary_form=True)


def replace(at, new):
    """Gives a file its new content as certbot does: another file takes its name."""
    os.replace(new, at)


def replace_two(stage, issued, _):
    """As certbot does: one file after the other."""
    for new, at in zip(issued, stage.files()):
        replace(at, new)


def swap(stage, issued, number):
    """As Kubernetes does: both files are below one symbolic link, and another takes its place."""
    folder = stage.folder / "tls"
    version = folder / f"..{number}"
    version.mkdir()
    for new, at in zip(issued, stage.files()):
        shutil.copy(new, version / at.name)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    os.replace(link, folder / "..data")
    for at in stage.files():
        if not at.is_symlink():
            link.symlink_to(f"..data/{at.name}")
            os.replace(link, at)


def change_tokens(stage, number):
    """Adds a token and removes the one that was added before; the good sender's stays. Returns both."""
    added, removed = (f"a-token-of-change-{at:04}" for at in (number, number - 1))
    new = stage.folder / "tokens.new"
    new.write_text(f"{stage.target.token}\n{added}\n")
    new.chmod(0o600)
    replace(stage.tokens, new)
    return added, removed


def seconds_until(holds, began):
    """How long after `began` it holds; none if never."""
    while time.monotonic() - began < NEVER:
        if holds():
            return time.monotonic() - began
        time.sleep(0.1)
    return None


class Tokens:
    """Posts with tokens that come and go, and counts what was stored by that."""

    def __init__(self, stage):
        self.stage, self.stored = stage, 0

    def answer(self, token):
        connection = self.stage.target.connect()
        try:
            status = self.stage.target.post(connection, notification(1_101_999_999, self.stored), token)
        finally:
            connection.close()
        self.stored += status == 200
        return status


def change(stage, tokens, number):
    """One new certificate and one change of the tokens; how long each takes to be in use, none where never."""
    issued = stage.authority.issue()
    expected = ssl.PEM_cert_to_DER_cert(issued[0].read_text())
    (replace_two if number < CHANGES // 2 else swap)(stage, issued, number)
    added, removed = change_tokens(stage, number)
    began = time.monotonic()
    yield seconds_until(lambda: shown(stage.target.port, stage.target.authority) == expected, began)
    yield seconds_until(lambda: tokens.answer(added) == 200, began)
    yield seconds_until(lambda: tokens.answer(removed) == 401, began)


def rotation(stage):
    tokens, took = Tokens(stage), []
    failed_before = stage.metric('reloads_total{result="failed",what="certificate"}')
    for number in range(CHANGES):
        began = time.monotonic()
        took.append(list(change(stage, tokens, number)))
        time.sleep(max(0, began + EVERY - time.monotonic()))
    problems = [f"change {number} is not in use after {NEVER} s" for number, times in enumerate(took) if None in times]
    longest = [max((time for time in times if time), default=0) for times in zip(*took)]
    said = "a new certificate is in use within {:.1f} s, a new token {:.1f}, a removed one {:.1f}".format(*longest)
    if longest[0] > SOON:
        said += f"; more than the {SOON} s of a quiet machine"
    if failed := stage.metric('reloads_total{result="failed",what="certificate"}') - failed_before:
        said += f"; {failed:.0f} looks found one file of two"
    return Done(said, problems, tokens.stored)
