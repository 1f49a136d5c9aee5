/**
 * `make chaos`: three brokers on three members of etcd and MinIO, one fault after the other by chance for as long as wanted, under
 * idempotent writers; every record is read back again and again. `MINUTES=30 SEED=7`. Ends with 1 at the first thing that is wrong,
 * and keeps the brokers' logs then.
 */
import { cryptoRandom, seededRandom } from '@kafscale/runtime';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterUnderTest } from './cluster-under-test.ts';
import { Load } from './load.ts';

const minutes = Number(process.env['MINUTES'] ?? 10);
const seed = Number(process.env['SEED'] ?? cryptoRandom.int(1_000_000));
const partitions = 9;
const healedWithinMs = 60_000;
const faultsBetweenReads = 5;

const random = seededRandom(seed);
const between = (lowMs: number, highMs: number): number => lowMs + random.int(highMs - lowMs);

interface Fault {
  readonly name: string;
  /** Does the harm and repairs it. */
  run(cluster: ClusterUnderTest): Promise<void>;
}

const anyOf = <Item>(items: readonly Item[]): Item => items[random.int(items.length)]!;

const faults: readonly Fault[] = [
  {
    name: 'a broker is killed and comes back',
    async run({ brokers }) {
      const broker = anyOf(brokers);
      await broker.kill();
      await sleep(between(0, 15_000));
      await broker.start();
    },
  },
  {
    name: 'a broker is drained and comes back',
    async run({ brokers }) {
      const broker = anyOf(brokers);
      await broker.drain();
      await sleep(between(0, 3_000));
      await broker.start();
    },
  },
  {
    name: 'a broker is killed while it drains',
    async run({ brokers }) {
      const broker = anyOf(brokers);
      const draining = broker.drain();
      await sleep(between(0, 800));
      await broker.kill();
      await draining;
      await broker.start();
    },
  },
  {
    name: 'a broker stands still',
    async run({ brokers }) {
      const { process: frozen } = anyOf(brokers);
      frozen.pause();
      await sleep(between(500, 15_000));
      frozen.resume();
    },
  },
  {
    name: 'two brokers are killed together',
    async run({ brokers }) {
      const spared = anyOf(brokers);
      const victims = brokers.filter((broker) => broker !== spared);
      await Promise.all(victims.map((broker) => broker.kill()));
      await sleep(between(0, 10_000));
      await Promise.all(victims.map((broker) => broker.start()));
    },
  },
  {
    name: 'all brokers are killed',
    async run({ brokers }) {
      await Promise.all(brokers.map((broker) => broker.kill()));
      await Promise.all(brokers.map((broker) => broker.start()));
    },
  },
  {
    name: 'a member of etcd is killed and comes back',
    async run({ etcd }) {
      const member = anyOf(etcd.members);
      await member.kill();
      await sleep(between(0, 5_000));
      await member.start();
    },
  },
  {
    name: 'a member of etcd stands still',
    async run({ etcd }) {
      const member = anyOf(etcd.members);
      member.pause();
      await sleep(between(500, 8_000));
      member.resume();
    },
  },
  {
    name: 'all of etcd is killed and comes back',
    async run({ etcd }) {
      await etcd.killAll();
      await sleep(between(0, 3_000));
      await etcd.startAll();
    },
  },
  {
    name: 'the object store is killed and comes back',
    async run({ s3 }) {
      await s3.kill();
      await sleep(between(0, 5_000));
      await s3.restart();
    },
  },
  {
    name: 'the object store stands still',
    async run({ s3 }) {
      s3.pause();
      await sleep(between(500, 15_000));
      s3.resume();
    },
  },
];

async function expectNothingWrong(load: Load): Promise<void> {
  const wrong = await load.verify();
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join('\n'));
}

console.log(`chaos for ${minutes} minutes with SEED=${seed}`);
process.env['KAFSCALE_KEEP_LOGS'] = '1';
const cluster = await ClusterUnderTest.start({
  brokers: 3,
  etcd: { members: 3, durable: true },
  env: { KAFSCALE_SESSION_TTL_MS: '6000', KAFSCALE_FOLD_AFTER_MS: '5000', KAFSCALE_SEGMENT_BYTES: '262144' },
});
let load: Load | undefined;
try {
  load = await Load.start({ cluster, topic: 'chaos', partitions, seed, maxPauseMs: 100 });
  const startedMs = performance.now();
  for (let count = 1; performance.now() - startedMs < minutes * 60_000; count += 1) {
    const fault = anyOf(faults);
    const faultMs = performance.now();
    await fault.run(cluster);
    await load.everyPartitionWritten(healedWithinMs);
    const took = ((performance.now() - faultMs) / 1_000).toFixed(1);
    console.log(`${count}. ${fault.name}: every partition written to ${took} s after it began`);
    if (count % faultsBetweenReads === 0) await expectNothingWrong(load);
  }
  await load.finish();
  await expectNothingWrong(load);
  console.log(`${load.acknowledgedBatches} batches acknowledged, every one of them read back, SEED=${seed}`);
  delete process.env['KAFSCALE_KEEP_LOGS'];
} catch (error) {
  console.error(`SEED=${seed}: ${error instanceof Error ? error.message : String(error)}\nlogs: ${cluster.folder}`);
  process.exitCode = 1;
} finally {
  await load?.close();
  await cluster.close();
}
