import { systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, FakeKubeApi } from '@kafscale/testkit';
import { createKubeClient } from './create-kube-client.ts';
import type { KubeClient, WatchEvent } from './kube-client.ts';
import { isKubeError, KubeError, type KubeErrorKind } from './kube-error.ts';
import { defineKind, type KubeObject } from './kube-object.ts';
import { kinds, type ConfigMap } from './kinds.ts';

interface Widget extends KubeObject {
  readonly spec?: { readonly size?: number; readonly colour?: string };
  readonly status?: { readonly size?: number };
}

const Widget = defineKind<Widget>({
  apiVersion: 'kafscale.io/v1alpha1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
});

const widgetScale = { specReplicas: 'spec.size', statusReplicas: 'status.size', selector: 'status.selector' };

const map = (name: string, data: Record<string, string> = {}) => ({ metadata: { name, namespace: 'shop' }, data });

function deployment(name: string, cpu: string) {
  const labels = { app: name };
  return {
    metadata: { name, namespace: 'shop' },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { containers: [{ name: 'broker', image: 'kafscale', resources: { limits: { cpu } } }] },
      },
    },
  };
}

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof KubeError)) throw new Error(`expected a KubeError, got ${String(error)}`);
  return error;
}

describe.each([{ http2: true }, { http2: false }])('a client over HTTP/2: $http2', ({ http2 }) => {
  let api: FakeKubeApi;
  let client: KubeClient;

  beforeEach(async () => {
    api = await FakeKubeApi.start({ kinds: [{ ...Widget, scale: widgetScale }] });
    client = createKubeClient({ access: api.access({ http2 }), clock: systemClock });
  });
  afterEach(async () => {
    await client.close();
    await api.stop();
  });

  it('creates, gets, replaces and deletes', async () => {
    const created = await client.create(kinds.ConfigMap, map('a', { k: '1' }));
    expect(created).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap', data: { k: '1' } });
    expect(created.metadata).not.toHaveProperty('managedFields');
    const replaced = await client.replace(kinds.ConfigMap, { ...created, data: { k: '2' } });
    expect(replaced.metadata.resourceVersion).not.toBe(created.metadata.resourceVersion);
    expect((await client.get(kinds.ConfigMap, { namespace: 'shop', name: 'a' })).data).toEqual({ k: '2' });
    expect(await client.delete(kinds.ConfigMap, { namespace: 'shop', name: 'a' })).toBe(true);
    expect(await client.delete(kinds.ConfigMap, { namespace: 'shop', name: 'a' })).toBe(false);
    expect(await client.find(kinds.ConfigMap, { namespace: 'shop', name: 'a' })).toBeUndefined();
  });

  it('tells a taken name from an outdated version', async () => {
    const created = await client.create(kinds.ConfigMap, map('a'));
    expect((await failure(client.create(kinds.ConfigMap, map('a')))).kind).toBe('already-exists');
    await client.replace(kinds.ConfigMap, { ...created, data: { k: '1' } });
    expect((await failure(client.replace(kinds.ConfigMap, { ...created, data: { k: '2' } }))).kind).toBe('conflict');
  });

  it('deletes only the very object that is meant', async () => {
    const created = await client.create(kinds.ConfigMap, map('a'));
    const name = { namespace: 'shop', name: 'a' };
    expect((await failure(client.delete(kinds.ConfigMap, name, { uid: 'another' }))).kind).toBe('conflict');
    expect(await client.delete(kinds.ConfigMap, name, { uid: created.metadata.uid })).toBe(true);
  });

  it('lists page by page, all of them with their kind', async () => {
    for (let i = 0; i < 1203; i += 1) api.create('ConfigMap', { metadata: { name: `m${i}`, namespace: 'shop' } });
    const list = await client.list(kinds.ConfigMap, { namespace: 'shop' });
    expect(list.items).toHaveLength(1203);
    expect(list.items[7]).toMatchObject({ apiVersion: 'v1', kind: 'ConfigMap' });
    expect(api.requests.filter(({ verb }) => verb === 'list')).toHaveLength(3);
  });

  it('lists by labels', async () => {
    api.create('Pod', { metadata: { name: 'a', labels: { app: 'x' } } });
    api.create('Pod', { metadata: { name: 'b', labels: { app: 'y' } } });
    const { items } = await client.list(kinds.Pod, { labelSelector: 'app=y' });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(['b']);
  });

  it('applies, and takes from another manager only by force', async () => {
    await client.apply(kinds.Deployment, deployment('broker', '1'));
    api.update('Deployment', 'broker', (object) => setReplicas(object, 5), 'shop');
    const wanted = { ...deployment('broker', '1'), spec: { ...deployment('broker', '1').spec, replicas: 3 } };
    expect((await failure(client.apply(kinds.Deployment, wanted))).kind).toBe('conflict');
    expect((await client.apply(kinds.Deployment, wanted, { force: true })).spec?.replicas).toBe(3);
  });

  it('removes by apply what it no longer names', async () => {
    await client.apply(kinds.ConfigMap, map('a', { keep: '1', drop: '2' }));
    const after = await client.apply(kinds.ConfigMap, map('a', { keep: '1' }));
    expect(after.data).toEqual({ keep: '1' });
  });

  it('stores nothing in a dry run', async () => {
    await client.apply(kinds.ConfigMap, map('a', { k: '1' }), { dryRun: true });
    expect(api.get('ConfigMap', 'a', 'shop')).toBeUndefined();
    expect(api.writes).toHaveLength(0);
  });

  it('applies a status without touching the rest', async () => {
    api.create('Widget', { metadata: { name: 'w', namespace: 'shop' }, spec: { colour: 'red' } });
    const after = await client.applyStatus(Widget, {
      metadata: { name: 'w', namespace: 'shop' },
      spec: { colour: 'blue' },
      status: { size: 4 },
    });
    expect(after).toMatchObject({ spec: { colour: 'red' }, status: { size: 4 }, metadata: { generation: 1 } });
  });

  it('scales a built-in kind and a custom one', async () => {
    await client.apply(kinds.Deployment, deployment('broker', '1'));
    api.create('Widget', { metadata: { name: 'w', namespace: 'shop' }, spec: { size: 1 }, status: { size: 1 } });
    expect(await client.setScale(kinds.Deployment, { namespace: 'shop', name: 'broker' }, 3)).toMatchObject({
      replicas: 3,
    });
    const before = await client.scale(Widget, { namespace: 'shop', name: 'w' });
    expect(before).toMatchObject({ replicas: 1, statusReplicas: 1 });
    const name = { namespace: 'shop', name: 'w' };
    await client.setScale(Widget, name, 2, { resourceVersion: before.resourceVersion });
    const late = await failure(client.setScale(Widget, name, 3, { resourceVersion: before.resourceVersion }));
    expect(late.kind).toBe('conflict');
  });

  it('evicts, and says at once when a disruption budget forbids it', async () => {
    api.create('Pod', { metadata: { name: 'p', namespace: 'shop' } });
    api.allowsEviction = () => false;
    expect((await failure(client.evict({ namespace: 'shop', name: 'p' }))).kind).toBe('too-many-requests');
    expect(api.requests).toHaveLength(1);
    api.allowsEviction = () => true;
    await client.evict({ namespace: 'shop', name: 'p' });
    expect(api.get('Pod', 'p', 'shop')).toBeUndefined();
  });

  it('patches by merge and by JSON patch', async () => {
    api.create('ConfigMap', { metadata: { name: 'a', namespace: 'shop' }, data: { x: '1', y: '2' } });
    const name = { namespace: 'shop', name: 'a' };
    expect((await client.patch(kinds.ConfigMap, name, { data: { x: null } })).data).toEqual({ y: '2' });
    const patch = [{ op: 'add', path: '/data/z', value: '3' }];
    expect((await client.patch(kinds.ConfigMap, name, patch, { type: 'json' })).data).toEqual({ y: '2', z: '3' });
  });

  const refusals: readonly (readonly [status: number, reason: string, kind: KubeErrorKind])[] = [
    [400, 'BadRequest', 'invalid'],
    [401, 'Unauthorized', 'unauthorized'],
    [403, 'Forbidden', 'forbidden'],
    [404, 'NotFound', 'not-found'],
    [409, 'Conflict', 'conflict'],
    [409, 'AlreadyExists', 'already-exists'],
    [410, 'Expired', 'gone'],
    [422, 'Invalid', 'invalid'],
    [429, 'TooManyRequests', 'too-many-requests'],
    [500, 'InternalError', 'unavailable'],
    [503, 'ServiceUnavailable', 'unavailable'],
  ];
  it.each(refusals)('answers %d %s as %s', async (status, reason, kind) => {
    api.inject({ do: 'status', status, reason, message: 'what the server said' }, undefined, 10);
    const error = await failure(client.create(kinds.ConfigMap, map('a')));
    expect(error).toMatchObject({ kind, status, reason });
    expect(error.message).toBe('create ConfigMap shop/a: what the server said');
  });

  it('sends a throttled call again when the server says when', async () => {
    api.inject({ do: 'status', status: 429, reason: 'TooManyRequests', retryAfterSeconds: 1 });
    const clock = new FakeClock();
    const patient = createKubeClient({ access: api.access({ http2 }), clock });
    const creation = patient.create(kinds.ConfigMap, map('a'));
    await eventually(
      'the call waits',
      () => api.requests.length === 1 && clock.pendingTimers >= 2 && waitsFor(clock, 1000),
    );
    expect(api.requests).toHaveLength(1);
    clock.advance(1000);
    await creation;
    expect(api.writes).toHaveLength(2);
    await patient.close();
  });

  it('hands on a throttling that would outlast its deadline', async () => {
    api.inject({ do: 'status', status: 429, reason: 'TooManyRequests', retryAfterSeconds: 60 });
    expect(await failure(client.create(kinds.ConfigMap, map('a')))).toMatchObject({ retryAfterMs: 60_000 });
  });

  it('reads again after a broken connection, and never writes again', async () => {
    api.create('ConfigMap', { metadata: { name: 'a', namespace: 'shop' } });
    api.inject({ do: 'reset' });
    await client.get(kinds.ConfigMap, { namespace: 'shop', name: 'a' });
    api.inject({ do: 'reset-after' });
    expect((await failure(client.create(kinds.ConfigMap, map('b')))).kind).toBe('unavailable');
    expect(api.writes).toHaveLength(1);
  });

  it('gives up at its deadline', async () => {
    api.inject({ do: 'hang' });
    const clock = new FakeClock();
    const bounded = createKubeClient({ access: api.access({ http2 }), clock });
    const answer = failure(bounded.get(kinds.Pod, { namespace: 'shop', name: 'p' }, { deadlineMs: 4000 }));
    await eventually('the request came', () => api.requests.length === 1);
    clock.advance(4000);
    expect((await answer).kind).toBe('unavailable');
    await bounded.close();
  });

  it('stops waiting when its caller does', async () => {
    api.inject({ do: 'hang' });
    const controller = new AbortController();
    const answer = client.get(kinds.Pod, { namespace: 'shop', name: 'p' }, { signal: controller.signal });
    await eventually('the request came', () => api.requests.length === 1);
    controller.abort(new Error('no longer wanted'));
    await expect(answer).rejects.toThrow('no longer wanted');
  });

  it('asks for fresh credentials once when it is not believed', async () => {
    const access = api.access({ http2 });
    const asked: boolean[] = [];
    const headers = (afresh: boolean) => {
      asked.push(afresh);
      return access.headers();
    };
    const suspect = createKubeClient({ access: { ...access, headers }, clock: systemClock });
    api.inject({ do: 'status', status: 401, reason: 'Unauthorized' });
    await suspect.list(kinds.Pod);
    expect(asked).toEqual([false, true]);
    await suspect.close();
  });

  it('uses one connection for calls that follow each other', async () => {
    for (let i = 0; i < 20; i += 1) await client.list(kinds.Pod);
    expect(api.connections).toBe(1);
  });

  it('names neither a missing namespace nor a foreign path', async () => {
    expect((await failure(client.get(kinds.Pod, { name: 'p' }))).kind).toBe('invalid');
    await failure(client.get(kinds.Pod, { namespace: 'shop', name: '../../nodes' }));
    expect(api.requests.at(-1)?.path).toBe('/api/v1/namespaces/shop/pods/..%2F..%2Fnodes');
  });

  it('watches from a version on, with bookmarks', async () => {
    const { resourceVersion } = await client.list(kinds.ConfigMap, { namespace: 'shop' });
    const events: WatchEvent<ConfigMap>[] = [];
    const controller = new AbortController();
    const watching = (async () => {
      const options = { namespace: 'shop', resourceVersion, timeoutSeconds: 300, signal: controller.signal };
      for await (const event of client.watch(kinds.ConfigMap, options)) events.push(event);
    })();
    await eventually('the watch is open', () => api.openWatches === 1);
    api.create('ConfigMap', { metadata: { name: 'a', namespace: 'shop' } });
    api.create('ConfigMap', { metadata: { name: 'b', namespace: 'elsewhere' } });
    api.update('ConfigMap', 'a', (object) => (object['data'] = { k: '1' }), 'shop');
    api.delete('ConfigMap', 'a', 'shop');
    api.sendBookmarks();
    await eventually('four events', () => events.length === 4);
    expect(events.map(({ type }) => type)).toEqual(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);
    controller.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
    await eventually('the watch is closed', () => api.openWatches === 0);
  });

  it('says that a version is too old to watch from', async () => {
    api.create('Pod', { metadata: { name: 'p' } });
    api.store.compact();
    const options = { resourceVersion: '1', timeoutSeconds: 300, signal: new AbortController().signal };
    const iterator = client.watch(kinds.Pod, options)[Symbol.asyncIterator]();
    expect((await failure(iterator.next())).kind).toBe('gone');
  });

  it('ends a watch that breaks with an error', async () => {
    const { resourceVersion } = await client.list(kinds.Pod);
    for (const [how, kind] of [
      ['reset', 'unavailable'],
      ['gone', 'gone'],
    ] as const) {
      const options = { resourceVersion, timeoutSeconds: 300, signal: new AbortController().signal };
      const iterator = client.watch(kinds.Pod, options)[Symbol.asyncIterator]();
      const next = failure(iterator.next());
      await eventually('the watch is open', () => api.openWatches === 1);
      api.disturbWatches(how);
      const error = await next;
      expect(isKubeError(error, kind)).toBe(true);
    }
  });
});

function setReplicas(object: object, replicas: number): void {
  (object as { spec: { replicas: number } }).spec.replicas = replicas;
}

const waitsFor = (clock: FakeClock, ms: number): boolean =>
  clock.nextTimerInMs !== undefined && clock.nextTimerInMs <= ms;
