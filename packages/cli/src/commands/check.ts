/**
 * `kafscale check`: whether a cluster takes a record and gives it back, asked with an ordinary Kafka client. It makes a topic of its own
 * and deletes it again, or uses one that is named. Ends with exit code 1 and the client's own words when it does not work in time.
 */
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { CommandError, print } from '../output.ts';
import { withProgress } from '../progress.ts';

export interface CheckOptions {
  readonly bootstrap: readonly string[];
  /** Seconds for everything together. */
  readonly timeout: number;
  readonly topic?: string;
}

const clientId = 'kafscale-check';
/** Waits between attempts: until clients know of a new topic, and brokers have opened it. */
const [firstRetryMs, lastRetryMs] = [200, 2_000];
/** Tidying up may take a little longer than the check. */
const tidyMs = 5_000;

export async function check({ bootstrap, timeout, topic }: CheckOptions): Promise<void> {
  const name = cryptoRandom.bytes(6).toString('hex');
  const chosen = topic ?? `${clientId}-${name}`;
  const retries = Math.ceil((timeout * 1_000) / lastRetryMs) + 1;
  const retry = { initialRetryTime: firstRetryMs, maxRetryTime: lastRetryMs, retries };
  let trouble = '';
  const kafka = new Kafka({
    ...{ clientId, brokers: [...bootstrap], retry, connectionTimeout: 3_000, logLevel: logLevel.ERROR },
    // The client tries again by itself; what it met last is why it did not succeed.
    logCreator: () => (entry) => {
      trouble = (entry.log as { readonly error?: string }).error ?? entry.log.message;
    },
  });
  const startedMs = systemClock.monotonicMs();
  const work = { kafka, topic: chosen, key: name };
  try {
    await withinTimeout(timeout, async () => {
      if (topic === undefined) await withProgress(`Creating topic ${chosen}`, () => createTopic(work), systemClock);
      const offset = await withProgress('Producing a record', () => produce(work), systemClock);
      await withProgress('Consuming it', () => consume(work, offset), systemClock);
    });
  } catch (error) {
    const why = trouble === '' ? '' : ` The last trouble was: ${trouble}.`;
    throw new CommandError(
      `${bootstrap.join(',')} does not work for clients: ${(error as Error).message}${why}\nIs the address right, are brokers ready (GET /readyz on their metrics port), and may this client reach them at the addresses they advertise?`,
      { cause: error },
    );
  } finally {
    if (topic === undefined) await tidied(() => deleteTopic(work));
  }
  print(
    `A record went to ${bootstrap.join(',')} and came back, ${Math.round(systemClock.monotonicMs() - startedMs)} ms in all.`,
  );
}

interface Work {
  readonly kafka: Kafka;
  readonly topic: string;
  readonly key: string;
}

async function createTopic({ kafka, topic }: Work): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: false });
  } finally {
    await admin.disconnect();
  }
}

/** Where the record lies: `partition` and `offset`. */
async function produce({ kafka, topic, key }: Work): Promise<{ readonly partition: number; readonly offset: string }> {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  try {
    const [answer] = await producer.send({ topic, acks: -1, messages: [{ key, value: key }] });
    return { partition: answer!.partition, offset: answer!.baseOffset ?? '0' };
  } finally {
    await producer.disconnect();
  }
}

/** Resolves when the very record arrived at its place. */
async function consume({ kafka, topic, key }: Work, at: { readonly partition: number; readonly offset: string }) {
  const consumer = kafka.consumer({ groupId: `${clientId}-${key}` });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
      consumer
        .run({
          autoCommit: false,
          async eachMessage({ partition, message }) {
            if (partition === at.partition && message.offset === at.offset && String(message.value) === key) resolve();
          },
        })
        .catch(reject);
      // In a topic with a past, the record is all that matters.
      consumer.seek({ topic, ...at });
    });
  } finally {
    await consumer.disconnect();
  }
}

async function deleteTopic({ kafka, topic }: Work): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.deleteTopics({ topics: [topic] });
  } finally {
    await admin.disconnect();
  }
}

/** What is left behind is worth no other outcome than the check's. */
async function tidied(work: () => Promise<void>): Promise<void> {
  await Promise.race([work().catch(() => undefined), systemClock.sleep(tidyMs)]);
}

async function withinTimeout(seconds: number, work: () => Promise<void>): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const cancel = systemClock.schedule(seconds * 1_000, () => reject(new Error(`it took longer than ${seconds} s.`)));
    work().then(resolve, reject).finally(cancel);
  });
}
