"""The client program of the e2e suite on confluent-kafka (librdkafka); see clients.e2e.ts for what goes in and out."""

import base64
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer

ABSENT = "~"


def decode(field):
    return None if field == ABSENT else base64.b64decode(field)


def encode(data):
    return ABSENT if data is None else base64.b64encode(data).decode()


def headers(field):
    pairs = [pair.split(":", 1) for pair in field.split(",") if pair]
    return [(name, decode(value)) for name, value in pairs]


def produce(bootstrap, topic, codecs, idempotence):
    lines = [line.rstrip("\n").split("\t") for line in sys.stdin]
    for codec in codecs.split(","):
        settings = {"bootstrap.servers": bootstrap, "compression.type": codec}
        if idempotence != "default":
            settings["enable.idempotence"] = idempotence == "on"
        producer = Producer(settings)
        reports = {}

        def delivered(index):
            def report(error, message):
                if error is not None:
                    raise KafkaException(error)
                reports[index] = (message.partition(), message.offset())

            return report

        for index, (key, value, names) in enumerate(lines):
            producer.produce(
                topic, value=decode(value), key=decode(key), headers=headers(names), on_delivery=delivered(index)
            )
            producer.poll(0)
        if producer.flush(60) != 0:
            sys.exit("not everything was delivered in 60 s")
        for index in range(len(lines)):
            partition, offset = reports[index]
            print(codec, index, partition, offset, sep="\t")


def consume(bootstrap, topic, group, count, rack=""):
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "client.rack": rack})
    consumer.subscribe([topic])
    deadline = time.monotonic() + 60
    read = 0
    while read < count:
        if time.monotonic() > deadline:
            sys.exit(f"read {read} of {count} in 60 s")
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        names = ",".join(f"{name}:{encode(value)}" for name, value in message.headers() or [])
        print(
            message.partition(), message.offset(), encode(message.key()), encode(message.value()), names, sep="\t"
        )
        read += 1
    consumer.close()


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(*sys.argv[2:6])
    else:
        consume(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), *sys.argv[6:])
