/** An etcd whose quota is small beside what is written: history goes in time, and a file that is mostly free slows nobody down. */
import { eventually, EtcdServer, FakeClock } from '@kafscale/testkit';
import { silentLogger } from '@kafscale/runtime';
import { History, historyLookMs } from './cluster/history.ts';
import { ProduceThrottle } from './log/upkeep/produce-throttle.ts';
import { EtcdFixture, put } from './metadata/etcd/etcd-fixture.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';

const MiB = 2 ** 20;
const quotaBytes = 24 * MiB;
const keys = 50;

describe('an etcd with a small quota', () => {
  const fixture = new EtcdFixture();
  let etcd: EtcdServer;
  let store: MetadataStore;

  beforeEach(async () => {
    fixture.next();
    etcd = await EtcdServer.start({ durable: false, quotaBytes, flags: ['--backend-batch-limit', '1'] });
    store = await fixture.store(etcd.endpoints, { quotaBytes });
  });
  afterEach(async () => {
    await fixture.close();
    await etcd.close();
  });

  /** Writes so much over and over the same megabyte. */
  const write = async (bytes: number): Promise<void> => {
    const value = 'x'.repeat(20_000);
    for (let written = 0; written < bytes; written += value.length) {
      const success = [put(`k/${(written / value.length) % keys}`, value)];
      await store.transact({ compare: [], success });
    }
  };
  const usedShare = async () => (await store.usage()).inUseBytes / quotaBytes;
  const throttleAt = async () => {
    const throttle = new ProduceThrottle(silentLogger);
    throttle.look({ manifests: 0, shelves: 0, unfoldedExtents: 0, usage: await store.usage() });
    return throttle;
  };

  it('is never filled by history that comes at a steady rate', async () => {
    const clock = new FakeClock();
    const history = new History({ store, clock, callDeadlineMs: 5_000, historyMs: 180_000 });
    const bytesPerLook = MiB;
    const refusals: boolean[] = [];
    for (let look = 0; look < 80; look += 1) {
      await write(bytesPerLook);
      await history.look();
      await clock.advanceAsync(historyLookMs);
      refusals.push((await throttleAt()).refuses);
    }
    expect(refusals).not.toContain(true);
    expect((await store.usage()).sizeBytes).toBeLessThan(quotaBytes);
  }, 60_000);

  it('takes writes as ever when its file has been nearly full and is mostly free', async () => {
    const clock = new FakeClock();
    const history = new History({ store, clock, callDeadlineMs: 5_000, historyMs: 180_000 });
    await write(0.8 * quotaBytes);
    expect((await throttleAt()).delayMs).toBeGreaterThan(500);
    // Nobody writes any more: all that is left to do is the controller's.
    for (let looks = 0; looks < 10; looks += 1) {
      await history.look();
      await clock.advanceAsync(historyLookMs);
    }
    await eventually('the pages of what was history are free', async () => {
      await history.look();
      return (await usedShare()) < 0.3;
    });
    const { sizeBytes } = await store.usage();
    expect(sizeBytes).toBeGreaterThan(0.75 * quotaBytes);
    expect((await throttleAt()).delayMs).toBe(0);
    await write(0.4 * quotaBytes);
    expect((await store.usage()).sizeBytes).toBeLessThan(1.05 * sizeBytes);
  }, 60_000);
});
