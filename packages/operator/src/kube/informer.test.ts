import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, FakeKubeApi, FaultyProxy } from '@kafscale/testkit';
import { createKubeClient } from './create-kube-client.ts';
import { Informer, type InformerSettings } from './informer.ts';
import type { KubeClient } from './kube-client.ts';
import { kinds, type ConfigMap } from './kinds.ts';
import { labelIndex } from './object-cache.ts';

describe('an informer', () => {
  let api: FakeKubeApi;
  let client: KubeClient;
  let informer: Informer<ConfigMap>;
  let changes: string[];

  beforeEach(async () => {
    api = await FakeKubeApi.start();
    client = createKubeClient({ access: api.access(), clock: systemClock });
    changes = [];
  });
  afterEach(async () => {
    await informer.stop();
    await client.close();
    await api.stop();
  });

  async function follow(settings: Partial<InformerSettings<ConfigMap>> = {}): Promise<void> {
    const common = { clock: systemClock, random: seededRandom(1), logger: silentLogger };
    informer = new Informer({ kind: kinds.ConfigMap, client, ...common, ...settings });
    informer.onChange(({ type, object }) => changes.push(`${type} ${object.metadata.name}`));
    informer.start();
    await informer.whenSynced();
    await eventually('the watch is open', () => api.openWatches > 0);
  }

  const make = (name: string, labels = {}) => api.create('ConfigMap', { metadata: { name, labels } });
  const verbs = (verb: string) => api.requests.filter((request) => request.verb === verb).length;

  it('knows what is there, and hears what changes', async () => {
    make('a');
    await follow();
    expect(changes).toEqual(['added a']);
    expect(informer.hasSynced).toBe(true);
    make('b');
    api.update('ConfigMap', 'a', (object) => (object['data'] = { k: '1' }));
    api.delete('ConfigMap', 'b');
    await eventually('everything is heard', () => changes.length === 4);
    expect(changes).toEqual(['added a', 'added b', 'updated a', 'deleted b']);
    expect(informer.cache.get({ namespace: 'default', name: 'a' })?.data).toEqual({ k: '1' });
  });

  it('goes on from where it was when the connection breaks', async () => {
    make('a');
    await follow();
    api.resetConnections();
    make('b');
    await eventually('it is back', () => changes.includes('added b'));
    expect(verbs('list')).toBe(1);
    expect(verbs('watch')).toBe(2);
  });

  it('goes on from the last bookmark', async () => {
    await follow();
    api.create('Pod', { metadata: { name: 'p' } });
    const version = String(api.store.version);
    api.sendBookmarks();
    make('a');
    await eventually('it hears on', () => changes.length === 1);
    api.delete('ConfigMap', 'a');
    await eventually('it hears on', () => changes.length === 2);
    expect(Number(version)).toBeGreaterThan(1000);
    api.store.compact();
    api.sendBookmarks();
    make('b');
    await eventually('it hears on', () => changes.length === 3);
    api.disturbWatches('end');
    await eventually('it watches again', () => verbs('watch') === 2 && api.openWatches === 1);
    expect(verbs('list')).toBe(1);
  });

  it('lists again after 410 and reports what was deleted meanwhile', async () => {
    make('a');
    make('b');
    await follow();
    api.inject({ do: 'hang' }, ({ verb }) => verb === 'watch', 1);
    api.disturbWatches('silence');
    api.delete('ConfigMap', 'a');
    make('c');
    api.store.compact();
    api.disturbWatches('gone');
    await eventually('it caught up', () => changes.length === 4);
    expect(changes.slice(2).sort()).toEqual(['added c', 'deleted a']);
    expect(verbs('list')).toBe(2);
  });

  it('lists again when its version is too old to watch from', async () => {
    make('a');
    await follow();
    api.disturbWatches('silence');
    api.delete('ConfigMap', 'a');
    api.store.compact();
    api.disturbWatches('reset');
    await eventually('it caught up', () => changes.includes('deleted a'));
  });

  it('goes on after a handler threw', async () => {
    await follow();
    informer.onChange(() => {
      throw new Error('a fault of the handler');
    });
    make('a');
    make('b');
    await eventually('both are heard', () => changes.length === 2);
    expect(informer.cache.size).toBe(2);
  });

  it('keeps trying while it may not, and syncs once it may', async () => {
    const clock = new FakeClock();
    api.authorize = () => false;
    make('a');
    informer = new Informer({ kind: kinds.ConfigMap, client, clock, random: seededRandom(1), logger: silentLogger });
    informer.start();
    await eventually('it was refused', () => informer.failures === 1);
    expect(informer.hasSynced).toBe(false);
    api.authorize = () => true;
    clock.advance(30_000);
    await informer.whenSynced();
    expect(informer.cache.size).toBe(1);
  });

  it('notices a half-open connection and is back within 10 s', async () => {
    make('a');
    const clock = new FakeClock();
    const proxy = await FaultyProxy.start({ port: api.port });
    const access = api.access({ server: `http://${proxy.endpoint}` });
    const behind = createKubeClient({ access, clock });
    await follow({ client: behind, clock });
    proxy.freeze();
    make('b');
    let waitedMs = 0;
    while (!changes.includes('added b') && waitedMs < 10_000) {
      await clock.advanceAsync(500);
      waitedMs += 500;
      await new Promise((resolve) => setTimeout(resolve, 20)); // what goes through sockets takes real time
    }
    expect(changes).toContain('added b');
    expect(verbs('list')).toBe(1);
    await behind.close();
    await proxy.close();
  });

  it('begins a watch anew within 10 s where only HTTP/1.1 is spoken and silence shows nothing', async () => {
    const clock = new FakeClock();
    const oldFashioned = createKubeClient({ access: api.access({ http2: false }), clock });
    await follow({ client: oldFashioned, clock });
    expect(api.requests.find(({ verb }) => verb === 'watch')?.query['timeoutSeconds']).toBe('6');
    api.disturbWatches('silence');
    make('b');
    let waitedMs = 0;
    while (!changes.includes('added b') && waitedMs < 10_000) {
      await clock.advanceAsync(500);
      waitedMs += 500;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(changes).toContain('added b');
    await oldFashioned.close();
  });

  it('leaves out what nobody reads', async () => {
    const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{"long":true}', mine: '1' };
    api.create('ConfigMap', { metadata: { name: 'a', annotations }, data: { k: 'v'.repeat(100) } });
    await follow({ project: ({ metadata }) => ({ metadata }) });
    const cached = informer.cache.get({ namespace: 'default', name: 'a' });
    expect(cached?.metadata.annotations).toEqual({ mine: '1' });
    expect(cached).not.toHaveProperty('data');
    expect(cached?.metadata).not.toHaveProperty('managedFields');
  });

  it('follows one namespace and one label when told to', async () => {
    await follow({ namespace: 'default', labelSelector: 'app=x' });
    make('a', { app: 'x' });
    make('b', { app: 'y' });
    api.create('ConfigMap', { metadata: { name: 'c', namespace: 'elsewhere', labels: { app: 'x' } } });
    api.update('ConfigMap', 'a', (object) => (object.metadata!.labels = { app: 'y' }));
    await eventually('it left the selection', () => changes.includes('deleted a'));
    expect(changes).toEqual(['added a', 'deleted a']);
  });

  it('finds objects by owner and by label', async () => {
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: 'u1', controller: true };
    api.create('ConfigMap', { metadata: { name: 'a', labels: { app: 'x' }, ownerReferences: [owner] } });
    make('b', { app: 'x' });
    await follow({ indexes: { app: labelIndex('app') } });
    const names = (found: readonly { metadata: { name: string } }[]) =>
      found.map(({ metadata }) => metadata.name).sort();
    expect(names(informer.cache.ownedBy('u1'))).toEqual(['a']);
    expect(names(informer.cache.byIndex('app', 'x'))).toEqual(['a', 'b']);
    api.update('ConfigMap', 'b', (object) => (object.metadata!.labels = { app: 'y' }));
    await eventually('it is heard', () => changes.includes('updated b'));
    expect(names(informer.cache.byIndex('app', 'x'))).toEqual(['a']);
    expect(() => informer.cache.byIndex('colour', 'red')).toThrow('no index colour');
  });
});
