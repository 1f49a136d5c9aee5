import { systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, FakeKubeApi } from '@kafscale/testkit';
import { createKubeClient } from './create-kube-client.ts';
import type { KubeClient } from './kube-client.ts';
import { kinds } from './kinds.ts';
import { fencedClient, WriteFence } from './write-fence.ts';

describe('a fenced client', () => {
  let api: FakeKubeApi;
  let clock: FakeClock;
  let fence: WriteFence;
  let plain: KubeClient;
  let client: KubeClient;

  beforeEach(async () => {
    api = await FakeKubeApi.start();
    clock = new FakeClock();
    fence = new WriteFence(clock);
    plain = createKubeClient({ access: api.access(), clock: systemClock });
    client = fencedClient(plain, fence);
  });
  afterEach(async () => {
    await plain.close();
    await api.stop();
  });

  const name = { namespace: 'default', name: 'a' };
  const object = { metadata: name };

  it('sends no write of any sort before the fence is open, and reads at any time', async () => {
    api.create('ConfigMap', { metadata: { name: 'a' } });
    const stored = await client.get(kinds.ConfigMap, name);
    const writes: readonly (() => Promise<unknown>)[] = [
      () => client.create(kinds.ConfigMap, object),
      () => client.replace(kinds.ConfigMap, stored),
      () => client.apply(kinds.ConfigMap, object),
      () => client.applyStatus(kinds.Deployment, object),
      () => client.patch(kinds.ConfigMap, name, {}),
      () => client.delete(kinds.ConfigMap, name),
      () => client.setScale(kinds.Deployment, name, 1),
      () => client.evict(name),
    ];
    for (const write of writes) await expect(write()).rejects.toMatchObject({ kind: 'not-leader' });
    expect(api.writes).toHaveLength(0);
  });

  it('writes while it is open, and no longer', async () => {
    fence.open(clock.monotonicMs() + 10_000);
    await client.create(kinds.ConfigMap, object);
    clock.advance(5_000);
    await client.apply(kinds.ConfigMap, object);
    clock.advance(5_000);
    await expect(client.apply(kinds.ConfigMap, object)).rejects.toMatchObject({ kind: 'not-leader' });
    expect(api.writes).toHaveLength(2);
  });

  it('aborts a write under way when it closes', async () => {
    fence.open(clock.monotonicMs() + 10_000);
    api.inject({ do: 'hang' });
    const writing = client.create(kinds.ConfigMap, object);
    await eventually('it is on its way', () => api.writes.length === 1);
    fence.close('lost');
    await expect(writing).rejects.toMatchObject({ kind: 'not-leader', message: 'lost' });
  });

  it('is closed for a process that slept through its term, whatever its timers did', async () => {
    const sleepy = { ...clockOf(clock), schedule: () => () => undefined };
    const late = new WriteFence(sleepy);
    late.open(clock.monotonicMs() + 10_000);
    const { signal } = late;
    clock.advance(60_000);
    await expect(fencedClient(plain, late).create(kinds.ConfigMap, object)).rejects.toMatchObject({
      kind: 'not-leader',
    });
    expect(signal.aborted).toBe(true);
    expect(api.writes).toHaveLength(0);
  });

  it('stays open as long as it is renewed, in one term', () => {
    fence.open(clock.monotonicMs() + 10_000);
    const { signal } = fence;
    for (let i = 0; i < 10; i += 1) {
      clock.advance(5_000);
      fence.open(clock.monotonicMs() + 10_000);
    }
    expect(fence.signal).toBe(signal);
    clock.advance(10_000);
    expect(signal.aborted).toBe(true);
  });
});

function clockOf(clock: FakeClock) {
  return {
    monotonicMs: () => clock.monotonicMs(),
    wallMs: () => clock.wallMs(),
    sleep: (delayMs: number, signal?: AbortSignal) => clock.sleep(delayMs, signal),
  };
}
