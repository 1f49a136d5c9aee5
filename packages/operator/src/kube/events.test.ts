import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, FakeKubeApi } from '@kafscale/testkit';
import { createKubeClient } from './create-kube-client.ts';
import { EventRecorder, type EventNote } from './events.ts';
import type { KubeClient } from './kube-client.ts';
import { kinds, type Pod } from './kinds.ts';
import type { Stored } from './kube-object.ts';

const blocked: EventNote = {
  type: 'Warning',
  reason: 'ScaleDownBlocked',
  action: 'Drain',
  note: 'broker 2 still owns partitions',
};

describe('the event recorder', () => {
  let api: FakeKubeApi;
  let client: KubeClient;
  let clock: FakeClock;
  let recorder: EventRecorder;
  let pod: Stored<Pod>;

  beforeEach(async () => {
    api = await FakeKubeApi.start();
    client = createKubeClient({ access: api.access(), clock: systemClock });
    clock = new FakeClock();
    const common = { clock, random: seededRandom(1), logger: silentLogger };
    recorder = new EventRecorder({ client, ...common, controller: 'kafscale.io/operator', instance: 'operator-0' });
    pod = api.create('Pod', { metadata: { name: 'p' } }) as Stored<Pod>;
  });
  afterEach(async () => {
    await client.close();
    await api.stop();
  });

  const events = () => api.store.list(api.kind('Event', 'events.k8s.io/v1'));

  it('writes what happened to whom, and who says so', async () => {
    recorder.record(kinds.Pod, pod, blocked);
    await recorder.flush();
    expect(events()).toMatchObject([
      {
        regarding: { kind: 'Pod', name: 'p', namespace: 'default', uid: pod.metadata.uid },
        ...{ reason: 'ScaleDownBlocked', action: 'Drain', type: 'Warning', note: 'broker 2 still owns partitions' },
        ...{ reportingController: 'kafscale.io/operator', reportingInstance: 'operator-0' },
      },
    ]);
    expect(events()[0]?.['eventTime']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(events()[0]?.metadata?.namespace).toBe('default');
  });

  it('counts the same event on the first one, with few writes', async () => {
    for (let i = 0; i < 100; i += 1) {
      recorder.record(kinds.Pod, pod, blocked);
      clock.advance(1000);
    }
    await recorder.flush();
    expect(events()).toHaveLength(1);
    expect(events()[0]?.['series']).toMatchObject({ count: 100 });
    expect(api.writes.length).toBeLessThanOrEqual(6);
  });

  it('begins a new event when the last is long ago or says something else', async () => {
    recorder.record(kinds.Pod, pod, blocked);
    recorder.record(kinds.Pod, pod, { ...blocked, note: 'broker 3 still owns partitions' });
    clock.advance(400_000);
    recorder.record(kinds.Pod, pod, blocked);
    await recorder.flush();
    expect(events()).toHaveLength(3);
  });

  it('cuts off a storm about one object, and hears others still', async () => {
    const taken = Array.from({ length: 60 }, (_, i) => recorder.record(kinds.Pod, pod, { ...blocked, note: `${i}` }));
    expect(taken.filter(Boolean)).toHaveLength(20);
    const other = api.create('Pod', { metadata: { name: 'q' } }) as Stored<Pod>;
    expect(recorder.record(kinds.Pod, other, blocked)).toBe(true);
    clock.advance(20_000);
    expect(recorder.record(kinds.Pod, pod, { ...blocked, note: 'later' })).toBe(true);
    await recorder.flush();
    expect(events()).toHaveLength(22);
  });

  it('tries again while the server cannot answer, and drops what it may not write', async () => {
    api.inject({ do: 'status', status: 500, reason: 'InternalError' });
    recorder.record(kinds.Pod, pod, blocked);
    await eventually('it was refused', () => api.writes.length === 1);
    const flushed = recorder.flush();
    await eventually('it waits', () => clock.pendingTimers > 0);
    clock.advance(5000);
    await flushed;
    expect(events()).toHaveLength(1);
    api.authorize = () => false;
    recorder.record(kinds.Pod, pod, { ...blocked, note: 'forbidden' });
    await recorder.flush();
    expect(events()).toHaveLength(1);
  });

  it('keeps to the lengths that the API allows', async () => {
    recorder.record(kinds.Pod, pod, { ...blocked, note: 'x'.repeat(5000) });
    await recorder.flush();
    expect(events()[0]?.['note']).toHaveLength(1024);
  });
});
