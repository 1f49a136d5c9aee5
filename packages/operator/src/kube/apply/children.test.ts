import fc from 'fast-check';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeKubeApi, type FakeObject } from '@kafscale/testkit';
import { createKubeClient } from '../create-kube-client.ts';
import { Informer } from '../informer.ts';
import type { KubeClient } from '../kube-client.ts';
import { kinds, type ConfigMap, type Deployment, type Service } from '../kinds.ts';
import { defineKind, type Desired, type KubeObject, type Stored } from '../kube-object.ts';
import { appliedAnnotation, child, Children, managedByLabel, type Child, type Owner } from './children.ts';
import { StatusWriter } from './status-writer.ts';

interface Widget extends KubeObject {
  readonly spec?: object;
  readonly status?: { readonly ready?: number; readonly text?: string };
}

const widgetKind = defineKind<Widget>({
  apiVersion: 'kafscale.io/v1alpha1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
});

function deploymentOf(image: string, more: Partial<NonNullable<Deployment['spec']>> = {}): Desired<Deployment> {
  const labels = { app: 'broker' };
  const resources = { limits: { cpu: '1000m', memory: '1024Mi' } };
  const probe = { httpGet: { port: 9093, path: '/readyz' } };
  const container = { name: 'broker', image, resources, readinessProbe: probe, ports: [{ containerPort: 9092 }] };
  return {
    metadata: { name: 'shop-broker' },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container], volumes: [{ name: 'tmp', emptyDir: {} }] } },
      ...more,
    },
  };
}

const serviceOf = (port: number): Desired<Service> => ({
  metadata: { name: 'shop-broker' },
  spec: { selector: { app: 'broker' }, ports: [{ name: 'kafka', port }] },
});

const mapOf = (name: string, data: Record<string, string>): Desired<ConfigMap> => ({ metadata: { name }, data });

describe('the children of an object', () => {
  let api: FakeKubeApi;
  let client: KubeClient;
  let deployments: Informer<Deployment>;
  let services: Informer<Service>;
  let maps: Informer<ConfigMap>;
  let widgets: Informer<Widget>;
  let children: Children;
  let owner: Owner;

  beforeEach(async () => {
    api = await FakeKubeApi.start({ kinds: [widgetKind] });
    client = createKubeClient({ access: api.access(), clock: systemClock });
    const common = { client, clock: systemClock, random: seededRandom(1), logger: silentLogger };
    deployments = new Informer({ kind: kinds.Deployment, ...common });
    services = new Informer({ kind: kinds.Service, ...common });
    maps = new Informer({ kind: kinds.ConfigMap, ...common });
    widgets = new Informer({ kind: widgetKind, ...common });
    for (const informer of [deployments, services, maps, widgets]) {
      informer.start();
      await informer.whenSynced();
    }
    await eventually('the watches are open', () => api.openWatches === 4);
    const caches = [deployments.cache, services.cache, maps.cache];
    children = new Children({ client, caches, logger: silentLogger });
    owner = ownerOf(api.create('Widget', { metadata: { name: 'shop' } }));
  });
  afterEach(async () => {
    for (const informer of [deployments, services, maps, widgets]) await informer.stop();
    await client.close();
    await api.stop();
  });

  const ownerOf = (object: FakeObject): Owner => ({ kind: widgetKind, object: object as Stored<Widget> });

  /** Resolves when the caches know everything there is. */
  async function caughtUp(): Promise<void> {
    await eventually('the caches caught up', () => {
      return [deployments, services, maps].every(({ kind, cache }) => {
        const all = api.list(kind.kind);
        return (
          all.length === cache.size &&
          all.every(({ metadata }) => {
            const at = { namespace: metadata!.namespace!, name: metadata!.name! };
            return cache.get(at)?.metadata.resourceVersion === metadata!.resourceVersion;
          })
        );
      });
    });
  }

  async function sync(...wanted: Child[]): Promise<Record<string, string>> {
    return Object.fromEntries(await children.sync(owner, wanted));
  }

  const all = () => [
    child(kinds.Deployment, deploymentOf('kafscale:1')),
    child(kinds.Service, serviceOf(9092)),
    child(kinds.ConfigMap, mapOf('shop-config', { a: '1', b: '2' })),
  ];

  it('are made with their owner, and written no second time', async () => {
    expect(await sync(...all())).toEqual({
      'Deployment/shop-broker': 'created',
      'Service/shop-broker': 'created',
      'ConfigMap/shop-config': 'created',
    });
    const made = api.get('Deployment', 'shop-broker');
    expect(made?.metadata?.ownerReferences).toMatchObject([{ kind: 'Widget', name: 'shop', controller: true }]);
    expect(made?.metadata?.labels?.[managedByLabel]).toBe('kafscale-operator');
    await caughtUp();
    api.requests.length = 0;
    const outcomes = await sync(...all());
    expect(new Set(Object.values(outcomes))).toEqual(new Set(['unchanged']));
    expect(api.requests).toEqual([]);
  });

  it('are not written again by a fresh process, either', async () => {
    await sync(...all());
    await caughtUp();
    api.requests.length = 0;
    const caches = [deployments.cache, services.cache, maps.cache];
    await new Children({ client, caches, logger: silentLogger }).sync(owner, all());
    expect(api.requests).toEqual([]);
  });

  it('are not written again before the cache knows of the write', async () => {
    await sync(...all());
    await caughtUp();
    api.disturbWatches('silence');
    const changed = child(kinds.ConfigMap, mapOf('shop-config', { a: '2', b: '2' }));
    expect(await children.apply(owner, changed)).toBe('updated');
    expect(await children.apply(owner, changed)).toBe('unchanged');
  });

  it('follow what is wanted, the removal of a field included', async () => {
    await sync(...all());
    await caughtUp();
    const fewer = child(kinds.ConfigMap, mapOf('shop-config', { a: '1' }));
    expect((await sync(...all().slice(0, 2), fewer))['ConfigMap/shop-config']).toBe('updated');
    expect(api.get('ConfigMap', 'shop-config')?.['data']).toEqual({ a: '1' });
  });

  it('are set right when somebody changes them', async () => {
    await sync(...all());
    api.update('Deployment', 'shop-broker', (object) => setImage(object, 'evil:1'));
    await caughtUp();
    expect((await sync(...all()))['Deployment/shop-broker']).toBe('updated');
    expect(JSON.stringify(api.get('Deployment', 'shop-broker')?.['spec'])).toContain('kafscale:1');
    await caughtUp();
    expect((await sync(...all()))['Deployment/shop-broker']).toBe('unchanged');
  });

  it('keep what others own in them', async () => {
    await sync(...all());
    api.update('Deployment', 'shop-broker', (object) => {
      (object['spec'] as { replicas: number }).replicas = 7;
      object.metadata!.annotations!['somebody.io/else'] = 'x';
    });
    await caughtUp();
    expect((await sync(...all()))['Deployment/shop-broker']).toBe('unchanged');
    await sync(child(kinds.Deployment, deploymentOf('kafscale:2')), ...all().slice(1));
    const after = api.get('Deployment', 'shop-broker');
    expect(after?.['spec']).toMatchObject({ replicas: 7 });
    expect(after?.metadata?.annotations?.['somebody.io/else']).toBe('x');
  });

  it('are not written for ever when the server keeps something otherwise', async () => {
    const stubborn = api.kind('ConfigMap') as { defaults?: (object: FakeObject) => void };
    stubborn.defaults = (object) => (object['data'] = { ...(object['data'] as object | undefined), a: 'rewritten' });
    try {
      await sync(...all());
      await caughtUp();
      expect((await sync(...all()))['ConfigMap/shop-config']).toBe('unchanged');
      api.update('ConfigMap', 'shop-config', (object) => (object['data'] = { a: 'rewritten', b: 'drifted' }));
      await caughtUp();
      expect((await sync(...all()))['ConfigMap/shop-config']).toBe('updated');
    } finally {
      delete stubborn.defaults;
    }
  });

  it('go when they are no longer wanted, and nothing else goes', async () => {
    await sync(...all());
    const labels = { [managedByLabel]: 'kafscale-operator' };
    api.create('ConfigMap', { metadata: { name: 'of-nobody', labels } });
    const other = api.create('Widget', { metadata: { name: 'other' } });
    const reference = {
      apiVersion: 'kafscale.io/v1alpha1',
      kind: 'Widget',
      name: 'other',
      uid: other.metadata!.uid!,
      controller: true,
    };
    api.create('ConfigMap', { metadata: { name: 'of-another', labels, ownerReferences: [reference] } });
    const ours = { ...reference, name: 'shop', uid: owner.object.metadata.uid };
    api.create('ConfigMap', { metadata: { name: 'made-by-a-user', ownerReferences: [ours] } });
    await caughtUp();
    await sync(all()[0]!);
    expect(api.list('ConfigMap').map(({ metadata }) => metadata?.name)).toEqual([
      'made-by-a-user',
      'of-another',
      'of-nobody',
    ]);
    expect(api.list('Service')).toEqual([]);
    expect(api.list('Deployment')).toHaveLength(1);
  });

  it('are never taken from somebody else', async () => {
    api.create('Service', { metadata: { name: 'shop-broker' } });
    await caughtUp();
    await expect(sync(...all())).rejects.toThrow(
      'Service default/shop-broker was not made by the operator; delete it, or give',
    );
    const other = { apiVersion: 'v1', kind: 'Gizmo', name: 'g', uid: 'u', controller: true };
    api.create('ConfigMap', { metadata: { name: 'shop-config', ownerReferences: [other] } });
    await caughtUp();
    await expect(children.apply(owner, all()[2]!)).rejects.toMatchObject({ reason: 'not-ours' });
    await expect(children.apply(owner, all()[2]!)).rejects.toThrow('belongs to Gizmo g');
  });

  it('are never taken from somebody else whom the cache does not know yet', async () => {
    api.disturbWatches('silence');
    api.create('Service', { metadata: { name: 'shop-broker' }, spec: { ports: [{ port: 1 }] } });
    await expect(children.apply(owner, all()[1]!)).rejects.toMatchObject({ reason: 'not-ours' });
    expect(api.writes).toEqual([]);
  });

  it('are taken up again when an earlier owner of the name left them behind', async () => {
    await sync(...all());
    api.store.delete(api.kind('Widget'), { namespace: 'default', name: 'shop' }, { propagation: 'Orphan' }, false);
    owner = ownerOf(api.create('Widget', { metadata: { name: 'shop' } }));
    await caughtUp();
    expect(new Set(Object.values(await sync(...all())))).toEqual(new Set(['updated']));
  });

  it('never leave the namespace of their owner', async () => {
    const elsewhere = mapOf('a', {});
    const foreign = child(kinds.ConfigMap, { ...elsewhere, metadata: { name: 'a', namespace: 'kube-system' } });
    await expect(children.apply(owner, foreign)).rejects.toMatchObject({ reason: 'out-of-bounds' });
    const clusterWide = child(kinds.Namespace, { metadata: { name: 'a' } });
    await expect(children.apply(owner, clusterWide)).rejects.toMatchObject({ reason: 'out-of-bounds' });
    for (const name of ['../kube-system', 'a/b', 'A', '']) {
      await expect(children.apply(owner, child(kinds.ConfigMap, mapOf(name, {})))).rejects.toMatchObject({
        reason: 'bad-name',
      });
    }
    expect(api.writes).toEqual([]);
  });

  it('wait while the old one is being deleted', async () => {
    await sync(...all());
    api.update('ConfigMap', 'shop-config', (object) => (object.metadata!.finalizers = ['kafscale.io/test']));
    api.delete('ConfigMap', 'shop-config');
    await caughtUp();
    expect((await sync(...all()))['ConfigMap/shop-config']).toBe('terminating');
  });

  it('settle after any sequence of edits: the next reconcile writes nothing', async () => {
    const edit = fc.record({
      ...{ image: fc.constantFrom('a', 'b'), replicas: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }) },
      ...{
        port: fc.integer({ min: 1, max: 9 }),
        data: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.string({ maxLength: 3 })),
      },
      ...{ paused: fc.boolean(), withService: fc.boolean() },
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        for (const { image, replicas, port, data, paused, withService } of edits) {
          const spec = { ...(replicas !== undefined && { replicas }), paused };
          const wanted = [
            child(kinds.Deployment, deploymentOf(image, spec)),
            child(kinds.ConfigMap, mapOf('shop-config', data)),
            ...(withService ? [child(kinds.Service, serviceOf(port))] : []),
          ];
          await sync(...wanted);
          await caughtUp();
          api.requests.length = 0;
          await sync(...wanted);
          expect(api.writes).toEqual([]);
          expect(api.get('ConfigMap', 'shop-config')?.['data'] ?? {}).toEqual(data);
          expect(api.list('Service')).toHaveLength(withService ? 1 : 0);
        }
      }),
      { numRuns: 15 },
    );
  });

  it('carry a mark that does not depend on the order of fields', async () => {
    await sync(child(kinds.ConfigMap, mapOf('shop-config', { a: '1', b: '2' })));
    const mark = api.get('ConfigMap', 'shop-config')?.metadata?.annotations?.[appliedAnnotation];
    await caughtUp();
    expect(await sync(child(kinds.ConfigMap, mapOf('shop-config', { b: '2', a: '1' })))).toEqual({
      'ConfigMap/shop-config': 'unchanged',
    });
    expect(mark).toMatch(/^[0-9a-f]{16}$/);
  });

  it('have a status that is written only when it says something new', async () => {
    const statuses = new StatusWriter(client);
    const cached = () => widgets.cache.get({ namespace: 'default', name: 'shop' })!;
    await eventually('the owner is known', () => widgets.cache.size === 1);
    expect(await statuses.write(widgetKind, cached(), { ready: 1, text: 'a' })).toBe(true);
    expect(await statuses.write(widgetKind, cached(), { ready: 1, text: 'a' })).toBe(false);
    expect(await statuses.write(widgetKind, cached(), { ready: 1 })).toBe(true);
    expect(api.get('Widget', 'shop')?.['status']).toEqual({ ready: 1 });
    await eventually('the cache knows', () => cached().status?.text === undefined && cached().status?.ready === 1);
    expect(await new StatusWriter(client).write(widgetKind, cached(), { ready: 1 })).toBe(false);
    api.delete('Widget', 'shop');
    await expect(statuses.write(widgetKind, cached(), { ready: 2 })).rejects.toMatchObject({ kind: 'not-found' });
  });
});

function setImage(object: FakeObject, image: string): void {
  const { template } = object['spec'] as { template: { spec: { containers: { image: string }[] } } };
  template.spec.containers[0]!.image = image;
}
