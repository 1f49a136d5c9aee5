/**
 * For tests of the cluster's reconciler: a cluster whose Kubernetes and brokers are simulated around the fake API server's store. Pods
 * go in the order of the real ReplicaSet controller, brokers own partitions and hand them over a few at a time.
 */
import type { AssignmentUpdate, BrokerStatus, DrainPartitionsResponse } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, FakeKubeApi, settled, type FakeObject } from '@kafscale/testkit';
import type { BrokerCalls } from '../../brokers/broker-directory.ts';
import { ControlCallError, type WatchOptions } from '../../brokers/control-client.ts';
import {
  Children,
  type EventNote,
  type KubeObject,
  type Pod,
  type Stored,
  type WatchedKind,
} from '../../kube/index.ts';
import { StoreClient } from '../../kube/store-client-fixture.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { planOf, type SpecInput } from '../../resources/plan-fixture.ts';
import { brokerPodOf, drainingSinceAnnotation } from '../drain/broker-pod.ts';
import { inDeletionOrder } from '../drain/deletion-order.ts';
import { clusterResource, topicResource } from '../resource-kinds.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { ClusterReconciler } from './cluster-reconciler.ts';
import { externalEtcd } from './external-etcd.ts';

export const namespace = 'shop';
const deploymentName = 'kafscale-broker';
const partitions = 12;
const handedOverPerCall = 3;
const finalizer = 'test.kafscale.io/kubelet';

export interface SimulatedBroker {
  readonly ip: string;
  readonly owned: Set<number>;
  cordoned: boolean;
  draining: boolean;
  answers: boolean;
  isReady: boolean;
}

/** A pod that was told to stop, and what it had then. */
export interface Removal {
  readonly pod: string;
  readonly owned: number;
  readonly wasReady: boolean;
  readonly by: 'scale-down' | 'rollout';
}

export type BrokerCall = keyof BrokerCalls;

export class SimulatedCluster {
  readonly api: FakeKubeApi;
  readonly client: StoreClient;
  readonly clock = new FakeClock();
  readonly metrics = createOperatorMetrics();
  readonly brokers = new Map<string, SimulatedBroker>();
  readonly removals: Removal[] = [];
  readonly events: EventNote[] = [];
  readonly token: { value?: string } = {};
  /** Throws for a call that is to fail. */
  onCall: (call: BrokerCall, broker: SimulatedBroker) => void = () => undefined;
  /** Another broker has not heard of the last move of each. */
  isWitnessLate = false;
  reconciler!: ClusterReconciler;
  readonly #world: WatchedWorld;
  #addresses = 0;

  private constructor(api: FakeKubeApi) {
    this.api = api;
    this.client = new StoreClient(api);
    const random = seededRandom(1);
    this.#world = watchWorld({ client: this.client, clock: this.clock, random, logger: silentLogger });
    this.startOperator();
  }

  static async start(spec: Partial<SpecInput> = {}): Promise<SimulatedCluster> {
    const scale = {
      ...{ specReplicas: 'spec.brokers.replicas', statusReplicas: 'status.brokers.replicas' },
      selector: 'status.brokers.selector',
    };
    const api = await FakeKubeApi.start({ kinds: [{ ...clusterResource, scale }, topicResource] });
    const cluster = new SimulatedCluster(api);
    const whole = {
      s3: { bucket: 'records', region: 'eu-west-1' },
      etcd: { endpoints: ['http://etcd:2379'] },
      ...spec,
    };
    api.create('KafScaleCluster', { metadata: { name: 'kafscale', namespace }, spec: whole });
    for (const watched of cluster.#world.all) watched.start();
    await Promise.all(cluster.#world.all.map((watched) => watched.whenSynced()));
    return cluster;
  }

  /** Another process: nothing is left of what the last one had in memory. */
  startOperator(): void {
    const { client, clock, metrics } = this;
    const { operator } = planOf();
    const caches = Object.values(this.#world.children) as readonly WatchedKind<KubeObject>[];
    this.reconciler = new ClusterReconciler({
      ...{ client, clock, metrics, operator, world: this.#world, random: seededRandom(7), logger: silentLogger },
      children: new Children({ client, caches, logger: silentLogger }),
      events: { record: (_kind: unknown, _object: unknown, note: EventNote) => this.events.push(note) > 0 } as never,
      etcd: externalEtcd,
      brokers: {
        setToken: (_cluster, token) => void (this.token.value = token),
        at: (_cluster, ip) => this.#callsOf(ip),
        retain: () => undefined,
        forget: () => undefined,
      },
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#world.all.map((watched) => watched.stop()));
    await this.api.stop();
  }

  get resource(): FakeObject & { spec: SpecInput; status: NonNullable<Stored<KubeObject> & Record<string, never>> } {
    return this.api.get('KafScaleCluster', 'kafscale', namespace) as never;
  }

  get deployment(): FakeObject & { spec: { replicas: number; template: object }; status?: object } {
    return this.api.get('Deployment', deploymentName, namespace) as never;
  }

  condition(type: string): { status: string; reason: string; message: string } | undefined {
    const { conditions = [] } = (this.resource as { status?: { conditions?: never[] } }).status ?? {};
    return (conditions as { type: string; status: string; reason: string; message: string }[]).find(
      (one) => one.type === type,
    );
  }

  pods(): readonly Stored<Pod>[] {
    return this.api.list('Pod', namespace) as unknown as readonly Stored<Pod>[];
  }

  /** Pods that are marked to go, or whose broker is cordoned. */
  leftovers(): readonly string[] {
    const marked = this.pods().filter(({ metadata }) => metadata.annotations?.[drainingSinceAnnotation] !== undefined);
    const cordoned = [...this.brokers.values()].filter(({ cordoned: isCordoned }) => isCordoned);
    return [...marked.map(({ metadata }) => metadata.name), ...cordoned.map(({ ip }) => ip)];
  }

  scale(replicas: number): void {
    this.api.update(
      'KafScaleCluster',
      'kafscale',
      (object) =>
        ((object['spec'] as { brokers: { replicas: number } }).brokers = { ...this.#brokersSpec(), replicas }),
      namespace,
    );
  }

  /** One look of the operator at a world it knows everything of. */
  async reconcile(): Promise<{ readonly requeueAfterMs?: number }> {
    await this.heard();
    const looking = this.reconciler.reconcile(
      { namespace, name: 'kafscale' },
      { signal: new AbortController().signal },
    );
    const result = await this.clock.runUntilSettled(looking);
    await this.heard();
    return result;
  }

  /** Looks again and again, time and Kubernetes going on between, until `isReached`. */
  async until(what: string, isReached: () => boolean, most = 80): Promise<void> {
    for (let round = 0; round < most; round += 1) {
      if (isReached()) return;
      await this.reconcile();
      this.tick();
      await this.clock.advanceAsync(1_000);
    }
    if (!isReached()) throw new Error(`not reached: ${what}`);
  }

  /** Caches have what is not held back. */
  async heard(): Promise<void> {
    for (let turn = 0; turn < 3; turn += 1) await settled();
  }

  /** A second of Kubernetes and of the brokers among themselves; its controllers may be late. */
  tick({ areControllersLate = false } = {}): void {
    for (const pod of this.pods()) if (pod.metadata.deletionTimestamp !== undefined) this.#end(pod);
    if (!areControllersLate) this.#runDeployment();
    this.#balance();
    for (const pod of this.pods()) this.#showReadiness(pod);
    if (!areControllersLate) this.#showDeployment();
  }

  broker(pod: { readonly metadata: { readonly name: string } }): SimulatedBroker {
    const found = this.brokers.get(pod.metadata.name);
    if (found === undefined) throw new Error(`no broker in ${pod.metadata.name}`);
    return found;
  }

  #brokersSpec(): object {
    return { ...(this.resource.spec.brokers as object) };
  }

  #runDeployment(): void {
    const { deployment } = this;
    if ((deployment as unknown) === undefined) return;
    const template = JSON.stringify(deployment.spec.template);
    const active = this.pods().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const [fresh, old] = [true, false].map((isFresh) =>
      active.filter(({ metadata }) => (metadata.annotations?.['template'] === template) === isFresh),
    ) as [Stored<Pod>[], Stored<Pod>[]];
    const { replicas } = deployment.spec;
    const surge = old.length > 0 ? 1 : 0;
    if (fresh.length < replicas && active.length < replicas + surge) {
      const missing = surge === 1 ? 1 : replicas - active.length;
      for (let count = 0; count < missing; count += 1) this.#begin(template);
    } else if (old.length > 0) {
      this.#take(old, 'rollout');
    } else if (active.length > replicas) {
      this.#take(active, 'scale-down');
    }
  }

  #begin(template: string): void {
    this.#addresses += 1;
    const ip = `10.0.0.${this.#addresses}`;
    const name = `${deploymentName}-${this.#addresses}`;
    const { labels } = (this.deployment.spec.template as { metadata: { labels: Record<string, string> } }).metadata;
    this.api.create('Pod', {
      metadata: {
        name,
        namespace,
        labels,
        annotations: { template },
        finalizers: [finalizer],
      },
      spec: { nodeName: `node-${this.#addresses}`, containers: [] },
    });
    this.brokers.set(name, {
      ...{ ip, owned: new Set<number>(), cordoned: false, draining: false, answers: true, isReady: true },
    });
    const status = { phase: 'Running', podIP: ip, conditions: [{ type: 'Ready', status: 'False' }] };
    this.api.setStatus('Pod', name, status, namespace);
  }

  #take(pods: readonly Stored<Pod>[], by: Removal['by']): void {
    const first = inDeletionOrder(pods.map(brokerPodOf), this.clock.wallMs())[0]!;
    const broker = this.brokers.get(first.name)!;
    this.removals.push({ pod: first.name, owned: broker.owned.size, wasReady: first.isReady, by });
    this.api.delete('Pod', first.name, namespace);
  }

  /** What it still had is free for the others: it drained itself, or its session ended. */
  #end({ metadata: { name } }: Stored<Pod>): void {
    this.brokers.delete(name);
    this.api.update('Pod', name, (pod) => void (pod.metadata!.finalizers = []), namespace);
  }

  #living(): readonly SimulatedBroker[] {
    return [...this.brokers.values()].filter(({ isReady }) => isReady);
  }

  #balance(): void {
    const owned = new Set([...this.brokers.values()].flatMap((broker) => [...broker.owned]));
    const takers = () =>
      this.#living()
        .filter(({ cordoned }) => !cordoned)
        .sort((left, right) => left.owned.size - right.owned.size);
    for (let partition = 0; partition < partitions; partition += 1) {
      if (!owned.has(partition)) takers()[0]?.owned.add(partition);
    }
    const sorted = takers();
    const [least, most] = [sorted[0], sorted.at(-1)];
    if (least !== undefined && most !== undefined && most.owned.size - least.owned.size > 1) move(most, least);
  }

  #showReadiness({ metadata: { name }, status }: Stored<Pod>): void {
    const broker = this.brokers.get(name);
    if (broker === undefined) return;
    const isReady = broker.isReady && !broker.draining;
    const before = status?.conditions?.find(({ type }) => type === 'Ready');
    if (before?.status === String(isReady).replace(/^./, (first) => first.toUpperCase())) return;
    const lastTransitionTime = new Date(this.clock.wallMs()).toISOString();
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False', lastTransitionTime }];
    this.api.setStatus('Pod', name, { phase: 'Running', podIP: broker.ip, conditions }, namespace);
  }

  #showDeployment(): void {
    const { deployment } = this;
    if ((deployment as unknown) === undefined) return;
    const template = JSON.stringify(deployment.spec.template);
    const active = this.pods().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const ready = active.filter(({ status }) => status?.conditions?.some(({ status: holds }) => holds === 'True'));
    const fresh = active.filter(({ metadata }) => metadata.annotations?.['template'] === template);
    const status = {
      ...{ observedGeneration: deployment.metadata!.generation, replicas: active.length },
      ...{ updatedReplicas: fresh.length, readyReplicas: ready.length },
    };
    if (JSON.stringify(deployment.status) !== JSON.stringify(status)) {
      this.api.setStatus('Deployment', deploymentName, status, namespace);
    }
  }

  #callsOf(ip: string): BrokerCalls {
    const asked = async <Answer>(call: BrokerCall, answer: (broker: SimulatedBroker) => Answer): Promise<Answer> => {
      const broker = [...this.brokers.values()].find((one) => one.ip === ip);
      if (broker?.answers !== true) throw new ControlCallError('unreachable', `${ip} does not answer`);
      this.onCall(call, broker);
      return Promise.resolve(answer(broker));
    };
    return {
      status: () => asked('status', statusOf),
      setCordon: ({ cordoned }) =>
        asked('setCordon', (broker) => {
          broker.cordoned = cordoned;
          if (!cordoned) broker.draining = false;
          return statusOf(broker);
        }),
      drain: () => asked('drain', (broker) => this.#handOver(broker)),
      flush: () => asked('flush', () => ({ flushed: [] })),
      watchAssignments: (options) => this.#watch(options),
    };
  }

  async *#watch({ brokerId = -1, signal }: WatchOptions): AsyncGenerator<AssignmentUpdate, void, void> {
    const watched = [...this.brokers.values()].find(({ ip }) => idOf(ip) === brokerId);
    const owned = [...(watched?.owned ?? []), ...(this.isWitnessLate ? [0] : [])];
    for (const partition of owned) yield { partition: { topic: 't', partition }, brokerId, status: 'owned', epoch: 0 };
    if (signal.aborted) return;
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  #handOver(broker: SimulatedBroker): DrainPartitionsResponse {
    const named = (all: Iterable<number>) => [...all].map((partition) => ({ topic: 't', partition }));
    const heirs = this.#living().filter((one) => one !== broker && !one.cordoned);
    const before = [...broker.owned];
    if (heirs.length > 0) {
      broker.cordoned = true;
      broker.draining = true;
      for (let count = 0; count < handedOverPerCall && broker.owned.size > 0; count += 1) {
        move(broker, heirs[count % heirs.length]!);
      }
    }
    const drained = before.filter((partition) => !broker.owned.has(partition));
    return { drained: named(drained), pending: named(broker.owned), pendingCoordinatorShards: 0 };
  }
}

function move(from: SimulatedBroker, to: SimulatedBroker): void {
  const [partition] = from.owned;
  if (partition === undefined) return;
  from.owned.delete(partition);
  to.owned.add(partition);
}

const idOf = (ip: string): number => Number(ip.split('.')[3]);

const statusOf = ({ ip, owned, cordoned, draining, isReady }: SimulatedBroker): BrokerStatus => ({
  ...{ brokerId: idOf(ip), version: '0.1.0', ready: isReady && !draining, incarnation: ip, cordoned },
  ...{
    draining,
    coordinatorShards: [],
    objectStoreState: 'healthy',
    metadataStoreReachable: true,
    isController: false,
  },
  partitions: [...owned].map((partition) => ({
    ...{ topic: 't', partition, leader: 0, state: 'open', logStartOffset: 0, logEndOffset: 0, highWatermark: 0 },
  })),
});
