/**
 * Whether the requests to both stores follow bytes and time, and not partitions: brokers with few and many partitions take the same
 * bytes a second, side by side, each on stores of its own. Counted over as long as folding lets a batch wait at most and then takes
 * for what came due together, so that every partition had its turn, however many there are.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { cloudLatency } from '../latency-store/latency-store.ts';
import { BenchBroker, type Reading } from './bench-broker.ts';
import { createTopic, runPaced, writeToAll } from './paced-load.ts';
import { row, title } from './table.ts';

const partitionCounts = [10, 1_000, 10_000];
const topic = 'cost';
/** The defaults: from which age a batch is folded, and five times that at the latest. */
const foldAfterMs = 60_000;
const cycles = 5;
/** Folding's pace: what is due is folded within so long. */
const roundsMs = 30_000;
const load = { topic, requestsPerSecond: 100, requestBytes: 20_000 };

interface Rates {
  readonly partitions: number;
  readonly puts: ReadonlyMap<string, number>;
  readonly etcdWrites: ReadonlyMap<string, number>;
  readonly putBytes: number;
  readonly etcdBytes: number;
  readonly gets: number;
  readonly cpuShare: number;
}

const windowOf = (foldMs: number): number => cycles * foldMs + roundsMs;

/** At a scale below 1 folding is as many times earlier and more frequent, and its share of the writes as many times larger. */
export async function measureCost(scale: number): Promise<void> {
  const foldMs = Math.round(foldAfterMs * scale);
  title(
    `Cost of 2 MB/s by active partitions, over ${(windowOf(foldMs) / 1_000).toFixed(0)} s (fold after ${foldMs / 1_000} s)`,
  );
  const brokers: BenchBroker[] = [];
  try {
    for (const partitions of partitionCounts) {
      const broker = await BenchBroker.start({ KAFSCALE_FOLD_AFTER_MS: String(foldMs) });
      brokers.push(broker);
      await broker.store.setLatency(cloudLatency);
      await createTopic(broker.port, topic, partitions);
      await writeToAll(broker.port, topic, partitions);
    }
    const ends = await Promise.allSettled(partitionCounts.map((count, n) => measure(brokers[n]!, count, foldMs)));
    const rates = ends.map((end) => {
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    });
    for (const one of rates) show(one);
    compare(
      'PUTs',
      rates.map(({ puts }) => puts),
    );
    compare(
      'etcd writes',
      rates.map(({ etcdWrites }) => etcdWrites),
    );
  } finally {
    await Promise.all(brokers.map((broker) => broker.close()));
  }
}

async function measure(broker: BenchBroker, partitions: number, foldMs: number): Promise<Rates> {
  const partitionsPerRequest = Math.min(20, partitions);
  const windowMs = windowOf(foldMs);
  const writing = runPaced(broker.port, { ...load, partitions, partitionsPerRequest, durationMs: foldMs + windowMs });
  const reading = async (): Promise<readonly [Reading, Reading]> => {
    await sleep(foldMs);
    const before = await broker.read();
    await sleep(windowMs - 1_000);
    return [before, await broker.read()];
  };
  const [[before, after]] = await Promise.all([reading(), writing]);
  const seconds = (after.atMs - before.atMs) / 1_000;
  const perSecond = (of: (reading: Reading) => number): number => (of(after) - of(before)) / seconds;
  const eachPerSecond = (of: (reading: Reading) => ReadonlyMap<string, number>): ReadonlyMap<string, number> =>
    new Map([...of(after)].map(([name, count]) => [name, (count - (of(before).get(name) ?? 0)) / seconds]));
  return {
    partitions,
    puts: eachPerSecond((reading) => reading.puts),
    etcdWrites: eachPerSecond((reading) => reading.etcdWrites),
    putBytes: perSecond((reading) => reading.putBytes),
    etcdBytes: perSecond((reading) => reading.etcdBytes),
    gets: perSecond((reading) => reading.gets),
    cpuShare: perSecond((reading) => reading.cpuSeconds),
  };
}

const sum = (rates: ReadonlyMap<string, number>): number =>
  [...rates.values()].reduce((total, rate) => total + rate, 0);

function show({ partitions, puts, etcdWrites, putBytes, etcdBytes, gets, cpuShare }: Rates): void {
  const parts = (rates: ReadonlyMap<string, number>): string =>
    [...rates]
      .filter(([, rate]) => rate >= 0.005)
      .sort(([, one], [, other]) => other - one)
      .map(([name, rate]) => `${name} ${rate.toFixed(2)}`)
      .join(', ');
  const what = `${partitions} partitions`;
  row(`${what}: PUT/s`, `${sum(puts).toFixed(2)} (${parts(puts)}), ${(putBytes / 1e6).toFixed(1)} MB/s`);
  row(
    `${what}: etcd writes/s`,
    `${sum(etcdWrites).toFixed(2)} (${parts(etcdWrites)}), ${(etcdBytes / 1e3).toFixed(1)} KB/s`,
  );
  row(`${what}: GET/s, CPU`, `${gets.toFixed(2)}, ${(cpuShare * 100).toFixed(0)} %`);
}

function compare(name: string, rates: readonly ReadonlyMap<string, number>[]): void {
  const spreadOf = (values: readonly number[]): number => Math.max(...values) / Math.min(...values) - 1;
  const percent = (share: number): string => `+${(share * 100).toFixed(0)} %`;
  const ofFlushes = spreadOf(rates.map((rate) => rate.get('flush') ?? NaN));
  const ofAll = spreadOf(rates.map(sum));
  row(`${name} for flushes alone, most over least`, percent(ofFlushes), '10 %', ofFlushes <= 0.1);
  row(`${name} in all, most over least`, percent(ofAll), '10 %', ofAll <= 0.1);
}
