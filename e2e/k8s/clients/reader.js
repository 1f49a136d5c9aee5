/**
 * Reads a topic from its beginning to its present end, and prints what became of each writer's records in each partition. Given as text
 * to Node. Arguments: bootstrap address, topic.
 */
import { Kafka, logLevel } from 'kafkajs';

const [bootstrap, topic] = process.argv.slice(1);
const kafka = new Kafka({
  clientId: 'reader',
  brokers: [bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { retries: 20 },
});

const admin = kafka.admin();
await admin.connect();
const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, BigInt(high)]));
await admin.disconnect();

/** By writer and partition: how many of its records came in order without a gap, and what did not. */
const writers = new Map();
const unread = new Set([...ends].filter(([, end]) => end > 0n).map(([partition]) => partition));

function take(partition, offset, value) {
  const [name, ownPartition, text] = value.split(' ');
  const key = `${name} ${partition}`;
  if (!writers.has(key)) writers.set(key, { name, partition, inOrder: 0, repeated: 0, wrong: [] });
  const writer = writers.get(key);
  const number = Number(text);
  if (Number(ownPartition) !== partition) writer.wrong.push(`offset ${offset} is of partition ${ownPartition}`);
  else if (number === writer.inOrder) writer.inOrder += 1;
  else if (number < writer.inOrder) writer.repeated += 1;
  else writer.wrong.push(`offset ${offset} has ${number}, and ${writer.inOrder} did not come before`);
}

const consumer = kafka.consumer({ groupId: `reader-${Date.now()}-${process.pid}` });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
const allRead = new Promise((resolve, reject) => {
  if (unread.size === 0) resolve();
  consumer.on('consumer.crash', ({ payload }) => void (payload.restart || reject(payload.error)));
  consumer
    .run({
      eachBatch: async ({ batch }) => {
        const { partition, messages } = batch;
        for (const { offset, value } of messages) {
          if (BigInt(offset) < ends.get(partition)) take(partition, offset, value.toString());
        }
        if (BigInt(batch.lastOffset()) + 1n >= ends.get(partition)) unread.delete(partition);
        if (unread.size === 0) resolve();
      },
    })
    .catch(reject);
});
await allRead;
await consumer.disconnect();
for (const writer of writers.values()) writer.wrong.splice(5);
console.log(JSON.stringify([...writers.values()]));
