import { FakeClock, settled } from '@kafscale/testkit';
import { ChangeSignal } from '../metadata/change-signal.ts';
import type { BrokerImage, ImageChange } from '../metadata/metadata-image.ts';
import { drain } from './drain.ts';

function setUp() {
  const clock = new FakeClock();
  const signals = [new ChangeSignal(), new ChangeSignal()];
  const ownerships = signals.map((signal) => ({ count: 2, changed: (over: AbortSignal) => signal.wait(over) }));
  const listeners = new Set<(change: ImageChange) => void>();
  let brokers = ['me', 'other'].map((incarnation) => ({ incarnation, draining: false }) as BrokerImage);
  const announced = { count: 0, outcome: Promise.resolve() };
  const start = () =>
    drain(
      {
        ...{ ownerships, clock, incarnation: 'me' },
        image: {
          brokers: () => brokers,
          onChange: (listener) => {
            listeners.add(listener);
            return () => listeners.delete(listener);
          },
        },
        announce: () => {
          announced.count += 1;
          return announced.outcome;
        },
      },
      5_000,
    );
  const own = (index: number, count: number) => {
    ownerships[index]!.count = count;
    signals[index]!.notify();
  };
  const setBrokers = (next: readonly { readonly incarnation: string; readonly draining: boolean }[]) => {
    brokers = next as BrokerImage[];
    for (const listener of [...listeners]) listener({ topicIds: undefined });
  };
  return { clock, listeners, announced, start, own, setBrokers };
}

describe('draining', () => {
  it('ends when neither partitions nor shards are owned any more', async () => {
    const { clock, announced, listeners, start, own } = setUp();
    const outcome = start();
    await settled();
    expect(announced.count).toBe(1);
    for (const [index, count] of [
      [0, 1],
      [0, 0],
      [1, 1],
    ] as const) {
      own(index, count);
      await settled();
      expect(listeners.size).toBe(1);
    }
    own(1, 0);
    expect(await outcome).toBe('empty');
    expect([listeners.size, clock.pendingTimers]).toEqual([0, 0]);
  });

  it('is not announced where nobody could take anything', async () => {
    const { announced, start, setBrokers } = setUp();
    setBrokers([{ incarnation: 'me', draining: false }]);
    expect(await start()).toBe('alone');
    expect(announced.count).toBe(0);
  });

  it('ends when the others have gone or stop too', async () => {
    const { start, setBrokers } = setUp();
    const outcome = start();
    await settled();
    setBrokers([
      { incarnation: 'me', draining: true },
      { incarnation: 'other', draining: true },
    ]);
    expect(await outcome).toBe('alone');
  });

  it('ends with its time, also when it could not even be announced', async () => {
    const { clock, announced, start } = setUp();
    announced.outcome = new Promise(() => undefined);
    const outcome = start();
    await clock.advanceAsync(5_000);
    expect(await outcome).toBe('late');
  });

  it('fails when it cannot be announced', async () => {
    const { announced, start } = setUp();
    announced.outcome = Promise.reject(new Error('fenced'));
    await expect(start()).rejects.toThrow('fenced');
  });
});
