import { FakeClock, settled } from '@kafscale/testkit';
import { DelayedFetches, type AwaitedPartition } from './delayed-fetch.ts';
import type { PartitionLog } from './partition-log.ts';
import { makeLog } from './read/log-fixture.ts';

function appendBytes(log: PartitionLog, length: number): void {
  const baseOffset = log.highWatermark;
  log.append({
    baseOffset,
    nextOffset: baseOffset + 1,
    leaderEpoch: log.leaderEpoch,
    objectKey: `object-${baseOffset}`,
    position: 0,
    length,
    maxTimestamp: -1,
    maxTimestampBaseOffset: baseOffset,
  });
}

/** A log that says how many listeners it has. */
function watchedLog(partition = 0) {
  const log = makeLog({ partition });
  let listeners = 0;
  const onAdvance = log.onAdvance.bind(log);
  log.onAdvance = (listener) => {
    listeners += 1;
    const stop = onAdvance(listener);
    return () => {
      listeners -= 1;
      stop();
    };
  };
  return { log, listeners: () => listeners };
}

const awaited = (log: PartitionLog, more: Partial<AwaitedPartition> = {}): AwaitedPartition => ({
  log,
  fetchOffset: log.highWatermark,
  countedUpTo: log.highWatermark,
  countedBytes: 0,
  maxBytes: 1_000,
  ...more,
});

async function isSettled(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await settled();
  return done;
}

describe('a delayed fetch', () => {
  it('ends with the commit that makes the bytes enough, over all its partitions', async () => {
    const clock = new FakeClock();
    const fetches = new DelayedFetches(clock);
    const [one, two] = [watchedLog(0), watchedLog(1)];
    const wait = fetches.wait({ partitions: [awaited(one.log), awaited(two.log)], minBytes: 100, maxWaitMs: 500 });
    appendBytes(one.log, 60);
    expect(await isSettled(wait)).toBe(false);
    appendBytes(two.log, 40);
    expect(await isSettled(wait)).toBe(true);
    expect(fetches.waiting).toBe(0);
  });

  it('ends after its longest wait and not before', async () => {
    const clock = new FakeClock();
    const { log } = watchedLog();
    const wait = new DelayedFetches(clock).wait({ partitions: [awaited(log)], minBytes: 1, maxWaitMs: 500 });
    clock.advance(499);
    expect(await isSettled(wait)).toBe(false);
    clock.advance(1);
    expect(await isSettled(wait)).toBe(true);
  });

  it('counts what was committed between the read and the wait', async () => {
    const { log } = watchedLog();
    const partition = awaited(log);
    appendBytes(log, 10);
    const wait = new DelayedFetches(new FakeClock()).wait({ partitions: [partition], minBytes: 10, maxWaitMs: 500 });
    expect(await isSettled(wait)).toBe(true);
  });

  it('counts bytes that were read already, and none beyond what the partition may give', async () => {
    const { log } = watchedLog();
    const partition = awaited(log, { countedBytes: 30, maxBytes: 50 });
    const wait = new DelayedFetches(new FakeClock()).wait({ partitions: [partition], minBytes: 51, maxWaitMs: 500 });
    appendBytes(log, 1_000);
    expect(await isSettled(wait)).toBe(false);
    const other = new DelayedFetches(new FakeClock()).wait({
      partitions: [awaited(log, { countedBytes: 30, maxBytes: 50 })],
      minBytes: 50,
      maxWaitMs: 500,
    });
    appendBytes(log, 20);
    expect(await isSettled(other)).toBe(true);
  });

  it.each([
    ['its partition closes', (log: PartitionLog) => log.close()],
    ['the log start passes its offset', (log: PartitionLog) => log.advanceLogStart(3)],
  ])('ends when %s', async (_what, act) => {
    const { log } = watchedLog();
    for (let count = 0; count < 3; count += 1) appendBytes(log, 5);
    const partition = awaited(log, { fetchOffset: 2 });
    const wait = new DelayedFetches(new FakeClock()).wait({ partitions: [partition], minBytes: 100, maxWaitMs: 500 });
    log.advanceLogStart(2);
    expect(await isSettled(wait)).toBe(false);
    act(log);
    expect(await isSettled(wait)).toBe(true);
  });

  it('ends when its connection is gone', async () => {
    const abort = new AbortController();
    const { log } = watchedLog();
    const wait = new DelayedFetches(new FakeClock()).wait({
      partitions: [awaited(log)],
      minBytes: 1,
      maxWaitMs: 500,
      signal: abort.signal,
    });
    abort.abort();
    expect(await isSettled(wait)).toBe(true);
  });

  it('leaves no listener and no timer behind, however it ends', async () => {
    const clock = new FakeClock();
    const fetches = new DelayedFetches(clock);
    const logs = [watchedLog(0), watchedLog(1), watchedLog(2)];
    const partitions = logs.map(({ log }) => awaited(log));
    const aborted = AbortSignal.abort();
    const closed = watchedLog(3);
    closed.log.close();
    const waits = [
      fetches.wait({ partitions, minBytes: 10, maxWaitMs: 500 }),
      fetches.wait({ partitions, minBytes: 10, maxWaitMs: 500, signal: aborted }),
      fetches.wait({ partitions: [awaited(closed.log), ...partitions], minBytes: 10, maxWaitMs: 500 }),
    ];
    expect(logs.map(({ listeners }) => listeners())).toEqual([1, 1, 1]);
    appendBytes(logs[1]!.log, 10);
    await Promise.all(waits);
    expect([...logs, closed].map(({ listeners }) => listeners())).toEqual([0, 0, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });
});
