"""What the NATS scripts of this folder share: arguments, connecting, exact headers, JSON lines.

nats-py 2.16 keeps the spelling of header names, but of a repeated header it
keeps only the last value and says nothing, and it drops lines it cannot read.
A test must see both, so the header block is parsed here.
"""

import argparse
import asyncio
import base64
import json
import os
import sys
from urllib.parse import urlsplit

try:
    from nats.aio.client import Client
    from nats.errors import Error as NatsError
except ImportError:
    print("nats-py is missing: pip install nats-py==2.16.0", file=sys.stderr)
    sys.exit(2)

EXIT_SHORT = 1  # fewer messages than asked for, or no such stream
EXIT_CONNECTION = 2  # also what argparse uses for wrong arguments
EXIT_WIRE = 3  # something arrived that no client should have to read

CONNECT_SECONDS = 10


class Failure(Exception):
    """Ends a script with one line on stderr and this exit code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Headers(dict):
    """Name to value. `problem` says what was wrong with the block, if anything."""

    problem = None


def parse_headers(block):
    """Parses `NATS/1.0\\r\\nName: value\\r\\n...\\r\\n\\r\\n`; names stay as they came."""
    headers = Headers()
    first, _, rest = block.partition(b"\r\n")
    if first.strip() != b"NATS/1.0":
        headers.problem = f"unexpected first header line {first!r}"
        return headers
    for line in rest.split(b"\r\n"):
        if not line:
            continue
        name, colon, value = line.partition(b":")
        try:
            name, value = name.decode("ascii"), value.strip(b" \t").decode("utf-8")
        except UnicodeDecodeError:
            headers.problem = f"header line is not text: {line!r}"
            continue
        if not colon or not name or name != name.strip():
            headers.problem = f"malformed header line {line!r}"
        elif name in headers:
            headers.problem = f"header {name!r} is repeated"
        else:
            headers[name] = value
    return headers


class ExactClient(Client):
    """A nats-py client that hides nothing about headers."""

    async def _process_headers(self, headers):
        # Status lines (no responders, end of a fetch) are the library's business.
        if not headers or bytes(headers).startswith(b"NATS/1.0 "):
            return await super()._process_headers(headers)
        return parse_headers(bytes(headers))


def parser(description, example, timeout):
    """The arguments every script takes; `timeout` says what it is the limit of."""
    script = os.path.basename(sys.argv[0])
    arguments = argparse.ArgumentParser(
        description=description, epilog=f"example: {script} --server nats://127.0.0.1:4222 {example}"
    )
    arguments.add_argument("--server", required=True, metavar="URL", help="nats://[user:password@]host:port")
    arguments.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help=f"{timeout} (default 10)"
    )
    return arguments


def shown(server):
    """The address without user and password."""
    parts = urlsplit(server if "://" in server else "nats://" + server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def connect(server):
    """Connects once. A test wants the failure now, not after a minute of retries."""
    seen = []

    async def remember(error):
        seen.append(error)

    client = ExactClient()
    attempt = client.connect(
        server,
        name=f"tests {os.path.basename(sys.argv[0])}",
        allow_reconnect=False,
        connect_timeout=5,
        error_cb=remember,
    )
    try:
        # The library's own limit does not cover a name server that is silent.
        await asyncio.wait_for(attempt, CONNECT_SECONDS)
    except Exception as error:  # noqa: BLE001 - the library raises many kinds
        # "no servers available" hides the cause, which only the callback is told.
        cause = seen[0] if seen else error
        text = " ".join(str(cause).split()) or f"no answer within {CONNECT_SECONDS} s"
        raise Failure(EXIT_CONNECTION, f"cannot connect to {shown(server)}: {text}") from None
    return client


def write_line(seq, message):
    """Prints one message, or fails when its headers are not plain name-value pairs."""
    headers = message.headers or {}
    problem = getattr(headers, "problem", None)
    if problem:
        where = f"message {seq}" if seq is not None else "message"
        raise Failure(EXIT_WIRE, f"{where} on {message.subject}: {problem}")
    line = {
        "seq": seq,
        "subject": message.subject,
        "headers": dict(headers),
        "body": base64.b64encode(message.data).decode("ascii"),
    }
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def run(act, args):
    """Runs `act(client, args)` and turns every expected failure into one line and a code."""
    sys.stdout.reconfigure(encoding="utf-8")
    asyncio.run(finish(connected(act, args)))


async def connected(act, args):
    client = await connect(args.server)
    try:
        return await act(client, args)
    except BrokenPipeError:
        raise  # our own output, not the server
    except (NatsError, OSError, asyncio.TimeoutError) as error:
        text = str(error) or type(error).__name__
        if client.is_connected:
            raise Failure(EXIT_SHORT, f"{shown(args.server)} refuses: {text}") from None
        raise Failure(EXIT_CONNECTION, f"connection to {shown(args.server)} lost: {text}") from None
    finally:
        # What the script made on the server is left to its inactivity limit: closing must not fail the script.
        if client.is_connected:
            await client.close()


async def finish(main):
    try:
        code = await main
        sys.stdout.flush()
    except Failure as failure:
        code = failure.code
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            pass
        print(failure, file=sys.stderr, flush=True)
    except BrokenPipeError:
        code = 0  # whoever read the lines has seen enough
    except asyncio.CancelledError:
        code = 130
    # A name lookup that hangs in its thread would keep the interpreter from ending.
    os._exit(code)
