"""Sends `<prefix><n> a line from librdkafka` for n = 0, 1, ... at a steady rate and prints where each record went, until SIGTERM."""

import signal
import sys
import time

from confluent_kafka import Producer

bootstrap, topic, prefix, per_second = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
producer = Producer({"bootstrap.servers": bootstrap})
running = True


def stop(*_):
    global running
    running = False


def delivered(error, message):
    if error is None:
        print(message.partition(), message.offset(), message.value().decode(), sep="\t")
    else:
        print("error", error.str(), sep="\t")


signal.signal(signal.SIGTERM, stop)
started = time.monotonic()
sent = 0
while running:
    due = int((time.monotonic() - started) * per_second)
    while sent < due:
        try:
            producer.produce(topic, value=f"{prefix}{sent} a line from librdkafka", on_delivery=delivered)
        except BufferError:
            break
        sent += 1
    producer.poll(0.02)
sys.exit(producer.flush(120))
