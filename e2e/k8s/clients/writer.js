/**
 * Writes to every partition of a topic and reads them in a group until it is told to stop: in a pod or anywhere else, given as text to
 * Node. Each record says who wrote it, to which partition and as which one, so that a reader knows what is missing. Serves
 * `/progress`, `/gaps`, after which gaps are counted anew, and `/stop`, which is answered with the outcome. Arguments: bootstrap address, topic, number of partitions, name, port.
 */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, Partitioners } from 'kafkajs';

const [bootstrap, topic, partitionCount, name, port] = process.argv.slice(1);
const batchRecords = 10;
const pauseMs = 20;

// As patient as the Java client, which gives a record two minutes.
const retry = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 120 };
const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.NOTHING, retry });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
const consumer = kafka.consumer({
  groupId: `${name}-readers`,
  retry: { ...retry, restartOnFailure: async () => true },
});

const startedMs = performance.now();
const partitions = Array.from({ length: Number(partitionCount) }, () => ({
  acked: 0,
  lastAckMs: startedMs,
  longestGapMs: 0,
}));
/** Errors that a program using these clients would see. */
const fatal = [];
let consumed = 0;
let stopping = false;

async function write(partition) {
  const mine = partitions[partition];
  while (!stopping) {
    const values = Array.from({ length: batchRecords }, (_, index) => `${name} ${partition} ${mine.acked + index}`);
    try {
      await producer.send({ topic, acks: -1, messages: values.map((value) => ({ partition, value })) });
    } catch (error) {
      fatal.push(`partition ${partition}: ${error}`);
      return;
    }
    const nowMs = performance.now();
    if (mine.acked > 0) mine.longestGapMs = Math.max(mine.longestGapMs, Math.round(nowMs - mine.lastAckMs));
    mine.lastAckMs = nowMs;
    mine.acked += batchRecords;
    await sleep(pauseMs);
  }
}

const report = () => ({
  name,
  acked: partitions.map(({ acked }) => acked),
  longestGapMs: partitions.map(({ longestGapMs }) => longestGapMs),
  consumed,
  fatal,
});

consumer.on('consumer.crash', ({ payload }) => {
  if (!payload.restart) fatal.push(`consumer: ${payload.error}`);
});
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({ eachBatch: async ({ batch }) => void (consumed += batch.messages.length) });
const writing = Promise.all(partitions.map((_, partition) => write(partition)));

const server = createServer(async ({ url }, answer) => {
  if (url === '/stop') {
    stopping = true;
    await writing;
    await Promise.all([producer.disconnect(), consumer.disconnect()]).catch(() => undefined);
  }
  answer.end(JSON.stringify(report()));
  if (url === '/gaps') for (const mine of partitions) mine.longestGapMs = 0;
  if (url === '/stop') server.close();
});
server.listen(Number(port));
process.on('SIGTERM', () => process.exit(0));
