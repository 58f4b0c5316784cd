"""The parts of deploy/quickstart that bash does badly.

ports FROM...         one free loopback port for each FROM: that one or the next; last the one to listen on
sample FILE           the notification in FILE as if it had been sent now; no FILE: one of a type nobody knows
last                  waits for the server, prints the stream's last sequence number (0: no stream yet)
watch                 prints what arrives in the stream after a sequence number
show                  reads records of Kafka as JSON lines, prints each
expect FILE...        the same, but only those whose bytes are a FILE's
"""

import argparse
import asyncio
import base64
import errno
import json
import os
import pathlib
import re
import shutil
import socket
import sys
import time
import urllib.parse

UNKNOWN = (
    '{"typeWebhook":"somethingNew","instanceData":{"idInstance":1101990001,"wid":"79990000001@c.us",'
    '"typeInstance":"whatsapp"},"timestamp":0,"note":"a type this version does not know passes too"}'
)


def hold(address, port):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    # As servers do: a port whose last connections are still closing is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def first_free(address, start):
    for port in range(start, 65536):
        try:
            return hold(address, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    sys.exit(f"no free port from {start} on")


def ports(starts, address, port=None):
    """Holds each port until all are found, so that no two are the same."""
    # The one that was asked for is not given away to another.
    try:
        listener = hold(address, int(port)) if port else None
        held = [first_free("127.0.0.1", start) for start in starts]
        held.append(listener or first_free(address, 3000))
    except OSError as error:
        asked = f"--listen, address {address}" + (f", port {port}" if port else "")
        sys.exit(f"error: {asked}: {error.strerror}\n       Name an IP address of this machine and a port that is free.")
    print(*(listener.getsockname()[1] for listener in held))


def sample(file):
    """Edits the bytes, not parsed JSON: some published samples repeat a key, and that must survive."""
    body = pathlib.Path(file).read_bytes() if file else UNKNOWN.encode()
    now = time.time()
    body = re.sub(rb'("timestamp"\s*:\s*)\d+', rb"\g<1>%d" % now, body)
    # The same body twice within minutes would be a repeat, and a repeat is stored once.
    body = re.sub(rb'("idMessage"\s*:\s*")[^"]*', rb"\g<1>%020X" % int(now * 1e6), body)
    sys.stdout.buffer.write(body)


def colours():
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return "\x1b[1m", "\x1b[2m", "\x1b[0m"
    return "", "", ""


def printable(text, width):
    """Bodies come from strangers: nothing in them may steer the terminal."""
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else "." for c in text)
    return text if len(text) <= width else text[: width - 3] + "..."


def show(number, destination, headers, data):
    """Headers are named as Kafka names them."""
    bold, dim, plain = colours()
    width = max(40, min(100, shutil.get_terminal_size((92, 24)).columns) - 8)
    kind, when = printable(headers.get("ce_type", "-"), 60), printable(headers.get("ce_time", "-"), 32)
    print(f"  {bold}#{number:<4}{plain} {bold}{printable(destination, width)}{plain}")
    print(f"        {kind}  {dim}{when}{plain}")
    if "bridge-reason" in headers:
        print(f"        dead letter: {printable(headers['bridge-reason'], 60)}")
    print(f"        {dim}{printable(data.decode('utf-8', 'replace'), width)}{plain}", flush=True)


def show_nats(message):
    headers = {
        name.replace("ce-", "ce_", 1): urllib.parse.unquote(value) for name, value in (message.headers or {}).items()
    }
    show(message.metadata.sequence.stream, message.subject, headers, message.data)


def show_records(files):
    wanted = {path.read_bytes(): path.name for path in files}
    for line in sys.stdin:
        record = json.loads(line)
        data = base64.b64decode(record["body"])
        if not files or wanted.pop(data, None):
            show(record["offset"], record["topic"], record["headers"], data)
    if wanted:
        sys.exit(f"not arrived: {', '.join(sorted(wanted.values()))}")


async def connect(server, patient):
    import nats

    async def quiet(_error):
        pass

    return await nats.connect(
        server,
        connect_timeout=2,
        allow_reconnect=patient,
        max_reconnect_attempts=-1 if patient else 0,
        error_cb=quiet,
    )


async def last(server, stream):
    from nats.js.errors import NotFoundError

    client = await connect(server, patient=False)
    try:
        # Also proves that JetStream itself is up, not only the port.
        jetstream = client.jetstream(timeout=5)
        await jetstream.account_info()
        try:
            return (await jetstream.stream_info(stream)).state.last_seq
        except NotFoundError:
            return 0
    finally:
        await client.close()


async def watch(server, stream, after, expect, timeout):
    from nats.errors import TimeoutError as NothingYet
    from nats.js.api import ConsumerConfig, DeliverPolicy

    wanted = {path.read_bytes(): path.name for path in expect}
    deadline = time.monotonic() + timeout
    client = await connect(server, patient=not expect)
    jetstream = client.jetstream()
    # An ordered consumer notices gaps and starts itself anew; it leaves nothing behind on the server.
    # All of the stream: the dead letter too.
    subscription = await jetstream.subscribe(
        ">",
        stream=stream,
        ordered_consumer=True,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1),
    )
    while wanted or not expect:
        left = deadline - time.monotonic() if expect else 3600
        if left <= 0:
            break
        try:
            message = await subscription.next_msg(timeout=left)
        except NothingYet:
            continue
        wanted.pop(message.data, None)
        show_nats(message)
        after = message.metadata.sequence.stream
    await client.close()
    if wanted:
        sys.exit(f"not arrived within {timeout:g} s: {', '.join(sorted(wanted.values()))}")
    return after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("ports")
    command.add_argument("start", nargs="+", type=int)
    command.add_argument("--listen", nargs="+", required=True, help="address, and the port if only that one will do")
    command = commands.add_parser("sample")
    command.add_argument("file", nargs="?")
    commands.add_parser("show")
    command = commands.add_parser("expect")
    command.add_argument("files", nargs="+", type=pathlib.Path)
    for name in ("last", "watch"):
        command = commands.add_parser(name)
        command.add_argument("--server", required=True)
        command.add_argument("--stream", required=True)
    command.add_argument("--after", type=int, default=0, help="the last sequence number not to show")
    command.add_argument("--expect", nargs="*", default=[], type=pathlib.Path, metavar="FILE",
                         help="stop when the exact bytes of each FILE have arrived; without it: for ever")
    command.add_argument("--timeout", type=float, default=15)
    arguments = parser.parse_args()

    if arguments.command == "ports":
        ports(arguments.start, *arguments.listen)
    elif arguments.command == "sample":
        sample(arguments.file)
    elif arguments.command == "show":
        show_records([])
    elif arguments.command == "expect":
        show_records(arguments.files)
    elif arguments.command == "last":
        try:
            print(asyncio.run(last(arguments.server, arguments.stream)))
        # Not up yet, whatever the reason: the caller tries again.
        except Exception as error:
            sys.exit(f"{type(error).__name__}: {error}")
    else:
        asyncio.run(watch(arguments.server, arguments.stream, arguments.after, arguments.expect, arguments.timeout))


if __name__ == "__main__":
    main()
