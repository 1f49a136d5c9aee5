/**
 * One look at a KafScaleCluster: everything it needs is made and kept as its resource says, brokers too many are drained one after
 * another, and its status says what was seen. It acts on what is, never on which change came, so it can be broken off anywhere and
 * called again; a second call right after finds nothing to write.
 */
import type { BrokerStatus } from '@kafscale/protocol';
import { mapConcurrently } from '@kafscale/runtime';
import { clusterSchema } from '../../api/cluster.ts';
import { maxClusterNameLength } from '../../api/crd.ts';
import type { BrokerCalls, ControlDirectory } from '../../brokers/broker-directory.ts';
import {
  ChildRefused,
  findCondition,
  isKubeError,
  kinds,
  objectKey,
  settledResult,
  StatusWriter,
  withConditions,
  type Deployment,
  type ObjectName,
  type Owner,
  type ReconcileContext,
  type ReconcileResult,
  type Stored,
} from '../../kube/index.ts';
import { brokerAutoscaler } from '../../resources/broker-autoscaler.ts';
import { brokerDeployment, brokerObjects } from '../../resources/brokers.ts';
import { namesOf, selectorOf, type ClusterPlan } from '../../resources/cluster-plan.ts';
import { brokerNetworkPolicy } from '../../resources/network-policies.ts';
import { brokerPodOf, isActive, type BrokerPod } from '../drain/broker-pod.ts';
import { ScaleDownExecutor, type StepTaken } from '../drain/scale-down-executor.ts';
import { clusterEvent, isClusterEvent, type ClusterEventReason } from '../operator-events.ts';
import type { ReconcilerDeps } from '../reconciler-deps.ts';
import { clusterResource, type KafScaleCluster } from '../resource-kinds.ts';
import { podsOfCluster, topicsOfCluster } from '../watched-world.ts';
import { clusterObservations, phaseOf, type ClusterFault, type ClusterObservation } from './cluster-status.ts';
import { controlToken } from './control-token.ts';
import { deploymentView, podTroubles, type DeploymentView } from './deployment-state.ts';
import type { EtcdOutcome, EtcdReconciler } from './etcd-reconciler.ts';
import { referencedSecrets } from './referenced-secrets.ts';
import { decideCount, replicasAnnotation } from './replica-count.ts';
import { statusOf } from './status-fields.ts';

export interface ClusterDeps extends ReconcilerDeps {
  readonly brokers: Pick<ControlDirectory, 'at' | 'setToken' | 'retain' | 'forget'>;
  readonly etcd: EtcdReconciler;
}

type Cluster = Stored<KafScaleCluster>;

/** Lets a broker go that could not hand over in time: its own drain at SIGTERM has to do. */
export const forceAnnotation = 'kafscale.io/force-scale-down';

/** Brokers are asked how they do, and secrets looked at, at least so often. */
const lookEveryMs = 30_000;
const lookSoonMs = 10_000;
/** Somebody else has to do something first. */
const faultRetryMs = 15_000;
const statusCallsAtOnce = 16;

/** What was found out about a cluster on the way; more of it the further the look came. */
interface Findings {
  fault?: ClusterFault;
  plan?: ClusterPlan;
  wanted: number;
  deployment?: DeploymentView | undefined;
  brokers: readonly BrokerStatus[];
  taken: StepTaken;
  etcd: EtcdOutcome;
}

const nothing: StepTaken = { step: { type: 'nothing' } };
const etcdUnknown: EtcdOutcome = {
  state: { isManaged: false, reason: 'Unknown', message: 'nobody could ask yet' },
  snapshot: { reason: 'NotManaged', message: 'nobody could ask yet' },
};

export class ClusterReconciler {
  readonly #deps: ClusterDeps;
  readonly #status: StatusWriter;
  readonly #scaleDown: ScaleDownExecutor;
  /** Of clusters that were seen, by their keys: what there is to forget when they go. */
  readonly #seen = new Map<string, { readonly namespace: string; readonly name: string; readonly uid: string }>();
  /** Pods whose unplanned end was counted, until they are gone. */
  readonly #counted = new Set<string>();

  constructor(deps: ClusterDeps) {
    this.#deps = deps;
    this.#status = new StatusWriter(deps.client);
    this.#scaleDown = new ScaleDownExecutor(deps);
  }

  async reconcile(name: ObjectName, { signal }: ReconcileContext): Promise<ReconcileResult> {
    const { world } = this.#deps;
    const cached = world.clusters.get(name);
    if (cached === undefined || cached.metadata.deletionTimestamp !== undefined) {
      this.#forget(name);
      return settledResult;
    }
    const cluster = this.#status.newest(clusterResource, cached);
    const { namespace = '', uid } = cluster.metadata;
    const known = this.#seen.get(objectKey(name));
    if (known !== undefined && known.uid !== uid) this.#forget(name);
    this.#seen.set(objectKey(name), { namespace, name: name.name, uid });

    const findings: Findings = { wanted: wantedOf(cluster), brokers: [], taken: nothing, etcd: etcdUnknown };
    await this.#bringAbout(cluster, findings, signal);
    await this.#writeStatus(cluster, findings, signal);
    return { requeueAfterMs: nextLookMs(findings) };
  }

  /** Refusals become findings; what may pass by itself is thrown, and the whole look comes again. */
  async #bringAbout(cluster: Cluster, findings: Findings, signal: AbortSignal): Promise<void> {
    const plan = this.#planOf(cluster, findings);
    if (plan === undefined) return;
    findings.plan = plan;
    try {
      await this.#make({ kind: clusterResource, object: cluster }, plan, findings, signal);
    } catch (error) {
      if (!(error instanceof ChildRefused) && !isKubeError(error, 'forbidden', 'invalid')) throw error;
      findings.fault = { reason: 'Denied', message: error.message };
    }
  }

  #planOf({ metadata, spec }: Cluster, findings: Findings): ClusterPlan | undefined {
    const { namespace = '', name } = metadata;
    const parsed = clusterSchema.spec.safeParse(spec);
    const faults = parsed.success
      ? []
      : parsed.error.issues.map(({ path, message }) => `spec.${path.join('.')}: ${message}`);
    if (name.length > maxClusterNameLength || name.includes('.')) {
      faults.push(`metadata.name: at most ${maxClusterNameLength} characters and no dot`);
    }
    if (parsed.success && faults.length === 0) {
      return { name, namespace, spec: parsed.data, operator: this.#deps.operator };
    }
    findings.fault = { reason: 'InvalidSpec', message: faults.join('; ') };
    findings.deployment = this.#viewOf(name, namespace);
    return undefined;
  }

  async #make(
    owner: Owner<KafScaleCluster>,
    plan: ClusterPlan,
    findings: Findings,
    signal: AbortSignal,
  ): Promise<void> {
    const { children, brokers, client, etcd } = this.#deps;
    findings.deployment = this.#viewOf(plan.name, plan.namespace);
    brokers.setToken(objectKey(plan), await controlToken(this.#deps, owner, signal));
    const secrets = await referencedSecrets(client, plan, signal);
    if (secrets.missing !== undefined) {
      findings.fault = { reason: 'MissingSecret', message: secrets.missing };
      return;
    }
    const statuses = await this.#askBrokers(plan);
    findings.brokers = [...statuses.values()];
    findings.etcd = await etcd.reconcile(owner, plan, { signal, brokers: findings.brokers });
    for (const child of [...brokerObjects(plan), brokerNetworkPolicy(plan)]) {
      await children.apply(owner, child, { signal });
    }
    const autoscaler = brokerAutoscaler(plan);
    if (autoscaler !== undefined) await children.apply(owner, autoscaler, { signal });
    else await children.remove(owner, kinds.HorizontalPodAutoscaler, namesOf(plan.name).broker, { signal });
    await this.#runBrokers(owner, plan, { findings, statuses, secretsHash: secrets.hash, signal });
  }

  /** The Deployment, its count, and the way to a lower one. */
  async #runBrokers(
    owner: Owner<KafScaleCluster>,
    plan: ClusterPlan,
    {
      findings,
      statuses,
      secretsHash,
      signal,
    }: {
      readonly findings: Findings;
      readonly statuses: ReadonlyMap<string, BrokerStatus>;
      readonly secretsHash: string;
      readonly signal: AbortSignal;
    },
  ): Promise<void> {
    const { children, clock } = this.#deps;
    const wanted = plan.spec.brokers.replicas;
    const name = { namespace: plan.namespace, name: namesOf(plan.name).broker };
    const live = await children.newest(kinds.Deployment, name, { signal });
    if (live === undefined && !isEtcdReady(findings.etcd)) return;
    const decision = decideCount(wanted, live, { isAutoscaled: plan.spec.brokers.autoscaling !== undefined });
    if (decision.type === 'adopt') return this.#adopt(owner.object, decision.replicas, findings, signal);
    const apply = async (replicas: number, since: Stored<Deployment> | undefined): Promise<void> => {
      const child = brokerDeployment(plan, { replicas, secretsHash });
      const { metadata } = child.object;
      const annotations = { ...metadata.annotations, [replicasAnnotation]: String(replicas) };
      const object = { ...child.object, metadata: { ...metadata, annotations } };
      const resourceVersion = since?.metadata.resourceVersion;
      await children.apply(owner, { ...child, object }, { signal, resourceVersion });
    };
    await apply(decision.replicas, live);
    this.#reportCount(owner.object, { before: live?.spec?.replicas, decision });

    const now = await children.newest(kinds.Deployment, name, { signal });
    const view = now && deploymentView(now);
    findings.deployment = view;
    if (view?.denial !== undefined && view.ready < wanted) findings.fault = { reason: 'Denied', message: view.denial };
    const pods = this.#podsOf(plan);
    this.#watchForOthers(owner.object, pods, view);
    if (view?.isBehind === true && wanted < view.replicas) {
      findings.taken = { step: { type: 'wait', for: 'Kubernetes to see the last change' }, requeueAfterMs: 1_000 };
      return;
    }
    findings.taken = await this.#scaleDown.advance(
      {
        cluster: { namespace: plan.namespace, name: plan.name },
        uid: owner.object.metadata.uid,
        signal,
        brokerOf: (pod) => this.#brokerOf(plan, pod),
        lower: (to) => apply(to, now),
        report: (reason, note) => this.#report(owner.object, reason, note),
      },
      {
        wanted,
        replicas: decision.replicas,
        isRollingOut: view?.isRollingOut ?? false,
        pods,
        statusOf: ({ uid }) => statuses.get(uid),
        nowMs: clock.wallMs(),
        drainTimeoutMs: plan.spec.brokers.drainTimeoutSeconds * 1_000,
        isForced: owner.object.metadata.annotations?.[forceAnnotation] === 'true',
      },
    );
  }

  /** The resource's next state comes as a change of its own; until then nothing is decided on the old one. */
  async #adopt(cluster: Cluster, replicas: number, findings: Findings, signal: AbortSignal): Promise<void> {
    const { metadata } = cluster;
    const { resourceVersion } = metadata;
    await this.#deps.client.setScale(clusterResource, metadata, replicas, { resourceVersion, signal });
    this.#report(
      cluster,
      'ReplicasAdopted',
      `${replicas} brokers, as somebody set on the Deployment, are in spec.brokers.replicas now`,
    );
    findings.wanted = replicas;
    findings.taken = { step: { type: 'wait', for: 'the adopted count' }, requeueAfterMs: 1_000 };
  }

  #reportCount(
    cluster: Cluster,
    {
      before,
      decision,
    }: { readonly before: number | undefined; readonly decision: { replicas: number; restored?: number } },
  ): void {
    const { replicas, restored } = decision;
    if (restored !== undefined) {
      const note = `${restored} brokers, as somebody set on the Deployment, do not stay: the autoscaler decides on the resource`;
      this.#report(cluster, 'ReplicasRestored', note);
    } else if (before !== undefined && replicas > before) {
      this.#report(cluster, 'ScaledUp', `from ${before} brokers to ${replicas}`);
    }
  }

  /** Kubernetes may take another pod than the one that was drained; that one drained itself, and the drained one is let go. */
  #watchForOthers(cluster: Cluster, pods: readonly BrokerPod[], view: DeploymentView | undefined): void {
    const ending = new Set(pods.filter(({ isTerminating }) => isTerminating).map(({ uid }) => uid));
    const isMarked = ({ drainingSinceMs }: BrokerPod) => drainingSinceMs !== undefined;
    const wasDrained = pods.find((pod) => isActive(pod) && isMarked(pod));
    for (const pod of pods) {
      if (!pod.isTerminating || isMarked(pod) || wasDrained === undefined || view?.isRollingOut !== false) continue;
      if (this.#counted.has(pod.uid)) continue;
      this.#counted.add(pod.uid);
      this.#deps.metrics.scaleDowns.inc({ result: 'another_went' });
      this.#report(cluster, 'AnotherBrokerWent', `${pod.name} ends, while ${wasDrained.name} was drained to go`);
    }
    if (ending.size === 0) this.#counted.clear();
  }

  /** By uid of the pod; those that do not answer are missing. */
  async #askBrokers(plan: ClusterPlan): Promise<ReadonlyMap<string, BrokerStatus>> {
    const { brokers, logger } = this.#deps;
    const pods = this.#podsOf(plan).filter((pod) => isActive(pod) && pod.ip !== undefined);
    brokers.retain(objectKey(plan), [...new Set(this.#podsOf(plan).flatMap(({ ip }) => ip ?? []))]);
    const statuses = new Map<string, BrokerStatus>();
    await mapConcurrently(pods, statusCallsAtOnce, async (pod) => {
      try {
        const status = await this.#brokerOf(plan, pod)?.status();
        if (status !== undefined) statuses.set(pod.uid, status);
      } catch (error) {
        logger.debug({ err: error, pod: pod.name }, 'a broker does not answer');
      }
    });
    // In one order, so that what is said of them is the same each time.
    return new Map([...statuses].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  #brokerOf(plan: ClusterPlan, { ip }: BrokerPod): BrokerCalls | undefined {
    return ip === undefined ? undefined : this.#deps.brokers.at(objectKey(plan), ip);
  }

  #podsOf(plan: Pick<ClusterPlan, 'name' | 'namespace'>): readonly BrokerPod[] {
    return this.#storedPods(plan).map(brokerPodOf);
  }

  #storedPods(plan: Pick<ClusterPlan, 'name' | 'namespace'>) {
    const selector = Object.entries(selectorOf(plan, 'broker'));
    const pods = this.#deps.world.pods.byIndex(podsOfCluster, objectKey(plan));
    return pods.filter(({ metadata }) => selector.every(([label, value]) => metadata.labels?.[label] === value));
  }

  #viewOf(name: string, namespace: string): DeploymentView | undefined {
    const live = this.#deps.world.children.deployments.get({ namespace, name: namesOf(name).broker });
    return live && deploymentView(live);
  }

  async #writeStatus(cluster: Cluster, findings: Findings, signal: AbortSignal): Promise<void> {
    const { clock, metrics } = this.#deps;
    const { generation, namespace = '', name } = cluster.metadata;
    const topics = this.#deps.world.topics.byIndex(topicsOfCluster, objectKey(cluster.metadata));
    const observation: ClusterObservation = {
      ...{ wanted: findings.wanted, fault: findings.fault, deployment: findings.deployment },
      troubles: podTroubles(this.#storedPods({ name, namespace }), clock.wallMs()),
      ...{ brokers: findings.brokers, step: findings.taken.step },
      ...{ etcd: findings.etcd.state, snapshot: findings.etcd.snapshot },
      topics: {
        total: topics.length,
        notSynced: topics
          .filter(({ status }) => findCondition(status?.conditions, 'Ready')?.status !== 'True')
          .map(({ metadata }) => metadata.name)
          .sort(),
      },
    };
    const observations = clusterObservations(observation);
    const before = cluster.status?.conditions;
    const conditions = withConditions(before, observations, { clock, generation });
    const status = statusOf({ cluster, findings, observation, phase: phaseOf(observations), conditions });
    const written = await this.#status.write(clusterResource, cluster, status, { signal });
    for (const { type, status: holds } of observations) {
      const value = holds === 'True' ? 1 : holds === 'False' ? 0 : -1;
      metrics.clusterCondition.set({ namespace, cluster: name, condition: type }, value);
    }
    if (written) this.#reportTroubles(cluster, conditions);
  }

  /** A trouble is told once, when it begins or becomes another. */
  #reportTroubles(cluster: Cluster, conditions: ReturnType<typeof withConditions>): void {
    for (const { type, status, reason, message } of conditions) {
      const isTrouble = (type === 'Ready' && status === 'False') || (type === 'Degraded' && status === 'True');
      const before = findCondition(cluster.status?.conditions, type);
      const isNew = before?.status !== status || before.reason !== reason;
      if (isTrouble && isNew && isClusterEvent(reason)) this.#report(cluster, reason, message);
    }
  }

  #report(cluster: Cluster, reason: ClusterEventReason, note: string): void {
    this.#deps.events.record(clusterResource, cluster, clusterEvent(reason, note));
  }

  /** The cluster is gone; the garbage collector takes its objects by their owner. */
  #forget(name: ObjectName): void {
    const key = objectKey(name);
    const known = this.#seen.get(key);
    if (known === undefined) return;
    this.#seen.delete(key);
    this.#deps.brokers.forget(key);
    this.#deps.etcd.forget(known);
    this.#scaleDown.forget(known.uid);
    this.#status.forget(clusterResource, { metadata: known });
    for (const { type } of clusterObservations(emptyObservation)) {
      this.#deps.metrics.clusterCondition.remove({ namespace: known.namespace, cluster: known.name, condition: type });
    }
  }
}

const emptyObservation: ClusterObservation = {
  ...{ wanted: 0, troubles: [], brokers: [], step: nothing.step },
  ...{ etcd: etcdUnknown.state, snapshot: etcdUnknown.snapshot, topics: { total: 0, notSynced: [] } },
};

/** Also of a spec that cannot be parsed. */
function wantedOf({ spec }: Cluster): number {
  const replicas = (spec as { readonly brokers?: { readonly replicas?: unknown } } | undefined)?.brokers?.replicas;
  return typeof replicas === 'number' ? replicas : clusterSchema.spec.shape.brokers.parse({}).replicas;
}

/** Brokers without any metadata would only fail to start; those that run already are not touched for it. */
const isEtcdReady = ({ state: { isManaged, reason, isRestoring } }: EtcdOutcome): boolean =>
  !isManaged || (reason === 'Answering' && isRestoring !== true);

function nextLookMs({ fault, taken, etcd, deployment, wanted }: Findings): number {
  const isSettled = fault === undefined && (deployment?.ready ?? 0) >= wanted;
  return Math.min(
    isSettled ? lookEveryMs : fault === undefined ? lookSoonMs : faultRetryMs,
    taken.requeueAfterMs ?? lookEveryMs,
    etcd.requeueAfterMs ?? lookEveryMs,
  );
}
