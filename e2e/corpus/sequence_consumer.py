"""A group member on confluent-kafka: prints partition, offset and value of what it reads, until SIGTERM."""

import signal
import sys

from confluent_kafka import Consumer, KafkaException

bootstrap, topic, group = sys.argv[1:4]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
running = True


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)
while running:
    for message in consumer.consume(1000, 0.2):
        if message.error():
            raise KafkaException(message.error())
        sys.stdout.buffer.write(b"%d\t%d\t%s\n" % (message.partition(), message.offset(), message.value()))
    sys.stdout.buffer.flush()
consumer.close()
