import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeClock, FakeKubeApi, settled } from '@kafscale/testkit';
import { createOperatorMetrics, type OperatorMetrics } from '../metrics/metrics.ts';
import {
  Controller,
  mappedSource,
  ownedSource,
  ownSource,
  settledResult,
  specChanged,
  type ControllerSettings,
  type Reconcile,
} from './controller.ts';
import { createKubeClient } from './create-kube-client.ts';
import { Informer } from './informer.ts';
import type { KubeClient } from './kube-client.ts';
import { KubeError } from './kube-error.ts';
import { kinds, type Deployment } from './kinds.ts';
import { objectKey, type Kind, type KubeObject } from './kube-object.ts';

describe('a controller', () => {
  let clock: FakeClock;
  let metrics: OperatorMetrics;
  let reconciled: string[];
  let failures: string[];
  let outcome: Reconcile;
  let controller: Controller;

  beforeEach(() => {
    clock = new FakeClock();
    metrics = createOperatorMetrics();
    reconciled = [];
    failures = [];
    outcome = async () => settledResult;
  });

  function controllerOf(settings: Partial<ControllerSettings> = {}): Controller {
    controller = new Controller({
      ...{ name: 'test', clock, random: seededRandom(1), logger: silentLogger, metrics, sources: [] },
      reconcile: (name, context) => {
        reconciled.push(objectKey(name));
        return outcome(name, context);
      },
      onFailure: (name, error) => failures.push(`${objectKey(name)}: ${(error as Error).message}`),
      ...settings,
    });
    return controller;
  }

  it('calls again after the time a reconcile asks for', async () => {
    outcome = async () => ({ requeueAfterMs: 10_000 });
    controllerOf().enqueue({ namespace: 'shop', name: 'a' });
    await settled();
    await clock.advanceAsync(25_000);
    expect(reconciled).toEqual(['shop/a', 'shop/a', 'shop/a']);
    expect((await metrics.scrape()).text).toContain(
      'controller_runtime_reconcile_total{controller="test",result="requeue_after"} 3',
    );
  });

  it('reports a failure, tries again ever later, and starts over after a success', async () => {
    const fail: Reconcile = async () => {
      throw new Error('no quota');
    };
    outcome = fail;
    controllerOf().enqueue({ namespace: 'shop', name: 'a' });
    await clock.advanceAsync(20_000);
    const tries = reconciled.length;
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(9);
    expect(failures[0]).toBe('shop/a: no quota');
    outcome = async () => settledResult;
    await clock.advanceAsync(60_000);
    expect(reconciled).toHaveLength(tries + 1);
    outcome = fail;
    controller.enqueue({ namespace: 'shop', name: 'a' });
    await clock.advanceAsync(600);
    expect(reconciled.length).toBeGreaterThanOrEqual(tries + 3);
    const { text } = await metrics.scrape();
    expect(text).toContain('controller_runtime_reconcile_total{controller="test",result="success"} 1');
    expect(text).toMatch(/controller_runtime_reconcile_errors_total\{controller="test"\} \d+/);
  });

  it('waits as long as the API server asks', async () => {
    outcome = async () => {
      throw new KubeError('too-many-requests', 'slow down', { retryAfterMs: 30_000 });
    };
    controllerOf().enqueue({ name: 'a' });
    await clock.advanceAsync(29_999);
    expect(reconciled).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(reconciled).toHaveLength(2);
  });

  it('tries a conflict again without making a fuss of it', async () => {
    outcome = async () => {
      throw new KubeError('conflict', 'outdated');
    };
    controllerOf().enqueue({ name: 'a' });
    await clock.advanceAsync(1000);
    expect(reconciled.length).toBeGreaterThan(1);
    expect(failures).toEqual([]);
  });

  it('ends a reconcile at its deadline', async () => {
    outcome = (_name, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    controllerOf({ deadlineMs: 5000 }).enqueue({ name: 'a' });
    await clock.advanceAsync(5000);
    expect(failures).toEqual(['a: no answer within 5000 ms']);
  });

  it('stops after what runs, and reports no failure of it', async () => {
    outcome = (_name, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    controllerOf().enqueue({ name: 'a' });
    await settled();
    await controller.stop();
    expect(failures).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('survives a report of a failure that fails', async () => {
    outcome = async () => {
      throw new Error('first');
    };
    controllerOf({
      onFailure: () => {
        throw new Error('second');
      },
    }).enqueue({ name: 'a' });
    await clock.advanceAsync(1000);
    expect(reconciled.length).toBeGreaterThan(1);
  });

  describe('with informers', () => {
    let api: FakeKubeApi;
    let client: KubeClient;
    let informers: Informer<never>[];

    beforeEach(async () => {
      api = await FakeKubeApi.start();
      client = createKubeClient({ access: api.access(), clock: systemClock });
      informers = [];
    });
    afterEach(async () => {
      await controller.stop();
      for (const informer of informers) await informer.stop();
      await client.close();
      await api.stop();
    });

    function informerOf<T extends KubeObject>(kind: Kind<T>): Informer<T> {
      const informer = new Informer({
        kind,
        client,
        clock: systemClock,
        random: seededRandom(1),
        logger: silentLogger,
      });
      informers.push(informer as unknown as Informer<never>);
      informer.start();
      return informer;
    }

    const deploymentOwner = (name: string) => [
      { apiVersion: 'apps/v1', kind: 'Deployment', name, uid: `uid-of-${name}`, controller: true },
    ];

    it('reconciles what it owns, what it is mapped to, and itself', async () => {
      const deployments = informerOf(kinds.Deployment);
      const sources = [
        ownSource(deployments),
        ownedSource(informerOf(kinds.ConfigMap), kinds.Deployment),
        mappedSource(informerOf(kinds.Secret), ({ object }) => [
          { namespace: 'default', name: `uses-${object.metadata.name}` },
        ]),
      ];
      await controllerOf({ sources }).start();
      await eventually('all watches are open', () => api.openWatches === 3);
      api.create('Deployment', { metadata: { name: 'd' } });
      api.create('ConfigMap', { metadata: { name: 'm', ownerReferences: deploymentOwner('e') } });
      api.create('ConfigMap', { metadata: { name: 'stray' } });
      const foreign = { apiVersion: 'other.io/v1', kind: 'Deployment', name: 'f', uid: 'u', controller: true };
      api.create('ConfigMap', { metadata: { name: 'foreign', ownerReferences: [foreign] } });
      api.create('Secret', { metadata: { name: 's' } });
      await eventually('three reconciles', () => reconciled.length === 3);
      expect(reconciled.sort()).toEqual(['default/d', 'default/e', 'default/uses-s']);
      api.update('ConfigMap', 'm', (object) => (object.metadata!.ownerReferences = deploymentOwner('g')));
      await eventually('the old and the new owner', () => reconciled.length === 5);
      expect(reconciled.slice(3).sort()).toEqual(['default/e', 'default/g']);
    });

    it('reconciles nothing before every source has its objects', async () => {
      api.create('Deployment', { metadata: { name: 'd' } });
      api.inject({ do: 'hang' }, ({ plural, verb }) => plural === 'secrets' && verb === 'list');
      const deployments = informerOf(kinds.Deployment);
      const sources = [ownSource(deployments), mappedSource(informerOf(kinds.Secret), () => [])];
      void controllerOf({ sources }).start();
      await deployments.whenSynced();
      await settled();
      expect(reconciled).toEqual([]);
    });

    it('leaves out changes of a status when told to', async () => {
      const deployments: Informer<Deployment> = informerOf(kinds.Deployment);
      await controllerOf({ sources: [ownSource(deployments, { when: specChanged })] }).start();
      await eventually('the watch is open', () => api.openWatches === 1);
      api.create('Deployment', { metadata: { name: 'd' } });
      await eventually('the first', () => reconciled.length === 1);
      api.setStatus('Deployment', 'd', { readyReplicas: 1 });
      api.update('Deployment', 'd', (object) => (object.metadata!.labels = { app: 'x' }));
      await eventually('the second', () => reconciled.length === 2);
      await settled();
      expect(reconciled).toHaveLength(2);
    });
  });
});
