/**
 * `kafscale demo`: a broker of its own on free ports in a temporary folder, and an ordinary Kafka client that creates a topic,
 * produces messages and reads some back in a consumer group. Leaves nothing behind.
 */
import { startBroker, type RunningBroker } from '@kafscale/broker';
import { brokerConfigSchema } from '@kafscale/protocol';
import { createLogger, cryptoRandom, systemClock } from '@kafscale/runtime';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError, print } from '../output.ts';
import { withProgress } from '../progress.ts';

const topic = 'demo-topic-1';
const groupId = 'demo-group-1';
const producedMessages = 25;
const consumedMessages = 5;
const consumeDeadlineMs = 30_000;

export async function demo(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-demo-'));
  try {
    const broker = await withProgress('Starting a broker', () => start(dataDir), systemClock);
    try {
      await produceAndConsume(broker);
    } finally {
      await withProgress('Shutting down', () => broker.close(), systemClock);
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

function start(dataDir: string): Promise<RunningBroker> {
  const config = brokerConfigSchema.parse({
    kafkaAddress: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    advertisedHost: '127.0.0.1',
    dataDir,
    flushIntervalMs: 2,
    groupInitialRebalanceDelayMs: 0,
  });
  const logger = createLogger({ level: 'error', format: 'pretty', destination: process.stderr });
  return startBroker(config, { clock: systemClock, random: cryptoRandom, logger });
}

async function produceAndConsume({ host, port }: RunningBroker): Promise<void> {
  const kafka = new Kafka({ clientId: 'kafscale-demo', brokers: [`${host}:${port}`], logLevel: logLevel.NOTHING });
  await withProgress(`Creating topic ${topic}`, () => createTopic(kafka), systemClock);
  await withProgress(`Producing ${producedMessages} messages`, () => produce(kafka), systemClock);
  await withProgress(`Consuming ${consumedMessages} of them in group ${groupId}`, () => consume(kafka), systemClock);
}

async function createTopic(kafka: Kafka): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  } finally {
    await admin.disconnect();
  }
}

async function produce(kafka: Kafka): Promise<void> {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    const messages = Array.from({ length: producedMessages }, (_, number) => ({
      key: `key-${number}`,
      value: `message-${number}`,
    }));
    await producer.send({ topic, messages });
  } finally {
    await producer.disconnect();
  }
}

async function consume(kafka: Kafka): Promise<void> {
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      let received = 0;
      const fail = (error: Error): void => reject(error);
      const cancelDeadline = systemClock.schedule(consumeDeadlineMs, () =>
        fail(
          new CommandError(
            `Only ${received} of ${consumedMessages} messages arrived in ${consumeDeadlineMs / 1_000} s.`,
          ),
        ),
      );
      consumer
        .run({
          eachMessage: async ({ partition, message }) => {
            if (received === consumedMessages) return;
            received += 1;
            print(
              `Received message: key=${String(message.key)} value=${String(message.value)} partition=${partition} offset=${message.offset}`,
            );
            if (received < consumedMessages) return;
            cancelDeadline();
            resolve();
          },
        })
        .catch(fail);
    });
  } finally {
    await consumer.disconnect();
  }
}
