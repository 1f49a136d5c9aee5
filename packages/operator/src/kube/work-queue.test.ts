import { seededRandom } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { createOperatorMetrics, type OperatorMetrics } from '../metrics/metrics.ts';
import { WorkQueue, type WorkQueueSettings } from './work-queue.ts';

describe('a work queue', () => {
  let clock: FakeClock;
  let metrics: OperatorMetrics;
  let started: string[];
  let finish: Map<string, (error?: Error) => void>;

  beforeEach(() => {
    clock = new FakeClock();
    metrics = createOperatorMetrics();
    started = [];
    finish = new Map();
  });

  function queueOf(settings: Partial<WorkQueueSettings> = {}): WorkQueue {
    return new WorkQueue({
      ...{ name: 'test', clock, random: seededRandom(1), metrics, workers: 2 },
      process: (key) => {
        started.push(key);
        return new Promise((resolve, reject) =>
          finish.set(key, (error) => (error === undefined ? resolve() : reject(error))),
        );
      },
      ...settings,
    });
  }

  async function done(key: string, error?: Error): Promise<void> {
    finish.get(key)!(error);
    await settled();
  }

  it('works on so many keys at once, each once, in the order they came', async () => {
    const queue = queueOf();
    for (const key of ['a', 'b', 'c', 'c', 'd', 'c']) queue.add(key);
    expect(started).toEqual(['a', 'b']);
    expect(queue.depth).toBe(2);
    await done('b');
    expect(started).toEqual(['a', 'b', 'c']);
    await done('a');
    expect(started).toEqual(['a', 'b', 'c', 'd']);
  });

  it('never works on one key twice at a time, and works again on what changed meanwhile', async () => {
    const queue = queueOf();
    queue.add('a');
    queue.add('a');
    queue.add('a');
    expect(started).toEqual(['a']);
    await done('a');
    expect(started).toEqual(['a', 'a']);
    await done('a');
    expect(started).toEqual(['a', 'a']);
  });

  it('comes back later, at the earliest time asked for', async () => {
    const queue = queueOf();
    queue.addAfter('a', 5000);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 3000);
    clock.advance(999);
    expect(started).toEqual([]);
    clock.advance(1);
    expect(started).toEqual(['a']);
    await done('a');
    clock.advance(10_000);
    expect(started).toEqual(['a']);
  });

  it('forgets a later time when the key is worked on before', async () => {
    const queue = queueOf();
    queue.addAfter('a', 5000);
    queue.add('a');
    await done('a');
    clock.advance(10_000);
    expect(started).toEqual(['a']);
    expect(queue.delayed).toBe(0);
  });

  it('waits longer after each failure of a key, up to a bound, and starts over when told', () => {
    const queue = queueOf({ backoff: { baseMs: 100, maxMs: 1000 }, process: () => Promise.resolve() });
    const delays = Array.from({ length: 8 }, () => queue.retry('a'));
    delays.forEach((delayMs, failures) => {
      const bound = Math.min(1000, 100 * 2 ** failures);
      expect(delayMs).toBeGreaterThanOrEqual(bound / 2);
      expect(delayMs).toBeLessThanOrEqual(bound);
    });
    expect(queue.retry('b')).toBeLessThanOrEqual(100);
    queue.forget('a');
    expect(queue.retry('a')).toBeLessThanOrEqual(100);
    expect(queue.retry('a', 60_000)).toBe(60_000);
  });

  it('bounds the retries of all keys together', () => {
    const queue = queueOf({ backoff: { baseMs: 1, maxMs: 1 }, retriesPerSecond: 10, retryBurst: 5 });
    const delays = Array.from({ length: 15 }, (_, index) => queue.retry(`key-${index}`));
    expect(delays.slice(0, 5).every((delayMs) => delayMs <= 1)).toBe(true);
    expect(delays[5]).toBe(100);
    expect(delays[14]).toBe(1000);
  });

  it('brings a key back whose work threw', async () => {
    const queue = queueOf();
    queue.add('a');
    await done('a', new Error('a fault'));
    clock.advance(1000);
    expect(started).toEqual(['a', 'a']);
  });

  it('stops: takes nothing more, asks what runs to end, and waits for it', async () => {
    let aborted = false;
    const queue = queueOf({
      process: (key, signal) => {
        started.push(key);
        return new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            finish.set(key, () => resolve());
          });
        });
      },
    });
    queue.add('a');
    queue.addAfter('b', 1000);
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    queue.add('c');
    clock.advance(5000);
    await settled();
    expect({ started, aborted, stopped }).toEqual({ started: ['a'], aborted: true, stopped: false });
    await done('a');
    await stopping;
    expect(clock.pendingTimers).toBe(0);
  });

  it('counts under the names of controller-runtime', async () => {
    const queue = queueOf({ workers: 1 });
    queue.add('a');
    queue.add('b');
    clock.advance(2000);
    queue.observeUnfinished();
    const { text } = await metrics.scrape();
    expect(text).toContain('workqueue_adds_total{name="test"} 2');
    expect(text).toContain('workqueue_depth{name="test"} 1');
    expect(text).toContain('workqueue_unfinished_work_seconds{name="test"} 2');
    await done('a');
    queue.retry('a');
    const after = (await metrics.scrape()).text;
    expect(after).toContain('workqueue_retries_total{name="test"} 1');
    expect(after).toContain('workqueue_queue_duration_seconds_sum{name="test"} 2');
    expect(after).toContain('workqueue_work_duration_seconds_sum{name="test"} 2');
  });
});
