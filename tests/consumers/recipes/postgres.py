"""Copies the events from Kafka into the table `event`. The primary key makes it idempotent: a repeat changes nothing.

Usage: python postgres.py KAFKA-ADDRESS GROUP POSTGRES-URL
"""

import signal
import sys

import psycopg
from confluent_kafka import Consumer, KafkaException

CLASSES = ["incoming", "outgoing", "state", "device", "other"]
INSERT = "INSERT INTO event VALUES (%s, %s, %s, %s, %s) ON CONFLICT (ce_id) DO NOTHING"


def row(message):
    headers = {name: value.decode() for name, value in message.headers() or []}
    names = ["ce_id", "ce_instance", "ce_type", "ce_recordedtime"]
    return (*(headers[name] for name in names), message.value()) if "ce_id" in headers else None  # not the bridge's


def main(servers, group, database):
    options = {"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer(options)
    consumer.subscribe([f"greenapi.{name}" for name in CLASSES])
    try:
        with psycopg.connect(database) as connection:
            while True:
                messages = consumer.consume(500, timeout=1)
                for error in filter(None, (message.error() for message in messages)):
                    raise KafkaException(error)
                connection.cursor().executemany(INSERT, [one for one in map(row, messages) if one])
                connection.commit()  # first the rows, then the offsets
                if messages:
                    consumer.commit(asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(*sys.argv[1:])
