/**
 * Runs a cluster's own etcd: makes its objects, tells members how to start, takes in those that lost their data, grows and shrinks one
 * member at a time, keeps files small, and says how it does. Where the cluster has an etcd of somebody else it only asks the brokers.
 */
import { managedEtcdOf, type ManagedEtcdSpec } from '../../api/cluster.ts';
import { connectEtcd, EtcdCallError, type ConnectEtcd } from '../../etcd/etcd-client.ts';
import {
  addressesOf,
  memberName,
  memberPlanSchema,
  type MemberAddresses,
  type MemberPlan,
} from '../../etcd/member-plan.ts';
import { kinds, type Owner, type Pod, type Stored } from '../../kube/index.ts';
import { namesOf, selectorOf, type ClusterPlan } from '../../resources/cluster-plan.ts';
import { etcdSnapshotCronJob } from '../../resources/etcd-snapshots.ts';
import { etcdObjects, memberPlanIn, memberPlanName } from '../../resources/etcd.ts';
import type { EtcdState } from '../cluster/cluster-status.ts';
import type { EtcdContext, EtcdOutcome, EtcdReconciler } from '../cluster/etcd-reconciler.ts';
import { externalEtcd } from '../cluster/external-etcd.ts';
import type { ReconcilerDeps } from '../reconciler-deps.ts';
import type { KafScaleCluster } from '../resource-kinds.ts';
import { viewEtcd, type EtcdView } from './etcd-view.ts';
import { hasQuorum, nextStep, type EtcdStep } from './next-step.ts';
import { snapshotView, type SnapshotView } from './snapshot-state.ts';

/** On the cluster's resource, with the value `stopped`: no member runs, and what starts next may begin anew. */
export const etcdAnnotation = 'kafscale.io/etcd';

export interface ManagedEtcdSettings {
  /** By HTTP unless given. */
  readonly connect?: ConnectEtcd;
  /** Those of the members' pods unless given. */
  readonly addresses?: (plan: MemberPlan) => MemberAddresses;
}

type Deps = Pick<ReconcilerDeps, 'client' | 'world' | 'children' | 'clock' | 'logger' | 'metrics'>;

/** How long a pod may run without getting a place before it is made anew. */
const lostAfterMs = 60_000;
/** A member that was defragmented without gaining much is left alone for so long. */
const restMs = 120_000;
const lookSoonMs = 5_000;
const lookMs = 30_000;
const mostMembers = 9;
/** From this share of the quota in use on somebody should look. */
const nearlyFull = 0.75;

interface Situation {
  readonly owner: Owner<KafScaleCluster>;
  readonly plan: ClusterPlan;
  readonly etcd: ManagedEtcdSpec;
  readonly pods: readonly Stored<Pod>[];
  /** Pods asked for; undefined before the first time. */
  readonly replicas: number | undefined;
  readonly isStopped: boolean;
}

export class ManagedEtcd implements EtcdReconciler {
  readonly #deps: Deps;
  readonly #connect: ConnectEtcd;
  readonly #addresses: (plan: MemberPlan) => MemberAddresses;
  /** When members were defragmented, by the address they were asked at; forgetting it costs one more. */
  readonly #defragmentedMs = new Map<string, number>();

  constructor(deps: Deps, { connect = connectEtcd(deps.clock), addresses = addressesOf }: ManagedEtcdSettings = {}) {
    this.#deps = deps;
    this.#connect = connect;
    this.#addresses = addresses;
  }

  async reconcile(owner: Owner<KafScaleCluster>, plan: ClusterPlan, context: EtcdContext): Promise<EtcdOutcome> {
    const etcd = managedEtcdOf(plan.spec);
    if (etcd === undefined) return externalEtcd.reconcile(owner, plan, context);
    const { children } = this.#deps;
    const { signal } = context;
    const name = { namespace: plan.namespace, name: namesOf(plan.name).etcd };
    const live = await children.newest(kinds.StatefulSet, name, { signal });
    const situation: Situation = {
      ...{ owner, plan, etcd, pods: this.#podsOf(plan), replicas: live?.spec?.replicas },
      isStopped: owner.object.metadata.annotations?.[etcdAnnotation] === 'stopped',
    };
    const before = await this.#memberPlan(situation, live !== undefined, signal);
    const view = await viewEtcd(
      this.#connect,
      this.#addresses(before),
      situation.isStopped ? 0 : (situation.replicas ?? 0),
    );
    const members = this.#nextMemberPlan(situation, before, view);
    const step = situation.isStopped ? ({ type: 'nothing' } as const) : this.#stepFor(situation, members, view);
    const replicas = replicasAfter(situation, members, step);
    const storageSize = live?.spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.['storage'];
    for (const child of etcdObjects(plan, { etcd, members, replicas, storageSize })) {
      await children.apply(owner, child, { signal });
    }
    await children.apply(owner, etcdSnapshotCronJob(plan, etcd), { signal });
    await this.#take(step, situation, signal);
    const snapshots = this.#snapshots(situation);
    this.#measure(situation, view, snapshots);
    return outcomeOf({ situation, members, view, replicas, snapshots, step });
  }

  forget({ namespace, name }: { readonly namespace: string; readonly name: string }): void {
    const { metrics } = this.#deps;
    const { etcd } = namesOf(name);
    const addresses = addressesOf({ name: etcd, domain: `${etcd}.${namespace}.svc` });
    for (let ordinal = 0; ordinal < mostMembers; ordinal += 1) this.#defragmentedMs.delete(addresses.client(ordinal));
    for (let ordinal = 0; ordinal < mostMembers; ordinal += 1) this.#forgetMember({ namespace, name }, ordinal);
    const labels = { namespace, cluster: name };
    metrics.etcdNoSpace.remove(labels);
    metrics.etcdSnapshotAge.remove(labels);
    metrics.etcdSnapshotLastSuccess.remove(labels);
    metrics.etcdSnapshotLastSchedule.remove(labels);
    metrics.etcdSnapshotStale.remove(labels);
    metrics.etcdSnapshotSuccess.remove(labels);
  }

  #podsOf({ name, namespace }: ClusterPlan): readonly Stored<Pod>[] {
    const wanted = Object.entries(selectorOf({ name }, 'etcd'));
    return this.#deps.world.pods
      .list(namespace)
      .filter(({ metadata }) => wanted.every(([label, value]) => metadata.labels?.[label] === value));
  }

  /** What members were told last. Where that is gone and members are not, the safe thing: that they are not to begin anew. */
  async #memberPlan(situation: Situation, hasMembers: boolean, signal: AbortSignal): Promise<MemberPlan> {
    const { plan, owner, etcd } = situation;
    const { uid, namespace } = owner.object.metadata;
    const name = memberPlanName(plan);
    const stored = await this.#deps.children.newest(kinds.ConfigMap, { namespace, name }, { signal });
    const known = memberPlanSchema.safeParse(stored && memberPlanIn(stored));
    const etcdName = namesOf(plan.name).etcd;
    return {
      ...(known.success
        ? { life: known.data.life, token: known.data.token, isInitialized: known.data.isInitialized }
        : { life: 1, token: `${uid}-1`, isInitialized: hasMembers }),
      ...{ name: etcdName, domain: `${etcdName}.${plan.namespace}.svc` },
      members: known.success ? known.data.members : etcd.replicas,
      ...{ quotaBackendBytes: etcd.quotaBackendBytes, autoCompactionRetention: etcd.autoCompactionRetention },
    };
  }

  /** A life begins when no pod of the last one is left, and is on its way for good when a quorum was seen. */
  #nextMemberPlan(
    { owner, etcd, pods, replicas, isStopped }: Situation,
    before: MemberPlan,
    view: EtcdView,
  ): MemberPlan {
    const isOver = isStopped && before.isInitialized && pods.length === 0 && replicas === 0;
    const life = isOver ? before.life + 1 : before.life;
    const isInitialized = isOver ? false : before.isInitialized || hasQuorum(view);
    const { restoreFrom } = etcd;
    return {
      ...before,
      ...(isOver && { life, token: `${owner.object.metadata.uid}-${life}` }),
      isInitialized,
      // Those that begin together are told one number; from then on one member after another follows the resource.
      members: isInitialized || isOver ? etcd.replicas : before.members,
      ...(restoreFrom !== undefined && !isInitialized && { restoreFrom }),
    };
  }

  #stepFor({ etcd, pods, replicas }: Situation, members: MemberPlan, view: EtcdView): EtcdStep {
    if (!members.isInitialized || replicas === undefined || replicas === 0) return { type: 'nothing' };
    const now = this.#deps.clock.wallMs();
    const lost = new Set(
      view.members
        .filter(({ memberId, status }) => memberId === undefined || (status && status.memberId !== memberId))
        .filter(({ ordinal }) => {
          const pod = pods.find(({ metadata }) => metadata.name === memberName(members, ordinal));
          return pod !== undefined && hasRunSince(pod, now - lostAfterMs);
        })
        .map(({ ordinal }) => ordinal),
    );
    // What is not wanted any more has no place on purpose.
    const kept = new Set([...lost].filter((ordinal) => ordinal < members.members));
    const isRested = (url: string) =>
      this.#deps.clock.monotonicMs() < (this.#defragmentedMs.get(url) ?? -restMs) + restMs;
    const rested = new Set(view.members.filter(({ client }) => isRested(client.url)).map(({ ordinal }) => ordinal));
    return nextStep({ view, replicas, wanted: etcd.replicas, quotaBytes: etcd.quotaBackendBytes, lost: kept, rested });
  }

  #snapshots({ plan, etcd, owner }: Situation): SnapshotView {
    const { cronJobs, jobs } = this.#deps.world.children;
    const isSnapshot = ({ metadata }: { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } }) =>
      Object.entries(selectorOf(plan, 'etcd-snapshot')).every(([label, value]) => metadata.labels?.[label] === value);
    return snapshotView({
      nowMs: this.#deps.clock.wallMs(),
      settings: etcd.snapshots,
      cronJob: cronJobs.get({ namespace: plan.namespace, name: namesOf(plan.name).etcdSnapshot }),
      jobs: jobs.list(plan.namespace).filter(isSnapshot),
      pods: this.#deps.world.pods.list(plan.namespace).filter(isSnapshot),
      known: owner.object.status?.etcd ?? {},
    });
  }

  #measure({ plan, etcd }: Situation, view: EtcdView, snapshots: SnapshotView): void {
    const { metrics, clock } = this.#deps;
    const of = { namespace: plan.namespace, cluster: plan.name };
    for (const { ordinal, status } of view.members) {
      if (status === undefined) this.#forgetMember(plan, ordinal);
      else {
        const member = { ...of, member: `${namesOf(plan.name).etcd}-${ordinal}` };
        metrics.etcdSize.set(member, status.sizeBytes);
        metrics.etcdInUse.set(member, status.inUseBytes);
        metrics.etcdSizeHigh.set(member, Number(status.inUseBytes >= nearlyFull * etcd.quotaBackendBytes));
      }
    }
    for (let ordinal = view.members.length; ordinal < mostMembers; ordinal += 1) this.#forgetMember(plan, ordinal);
    metrics.etcdNoSpace.set(of, Number(isOutOfSpace(view)));
    const { state, lastSuccessMs, lastScheduleMs } = snapshots;
    metrics.etcdSnapshotSuccess.set(of, Number(state.reason === 'Fresh' || state.reason === 'Stale'));
    metrics.etcdSnapshotStale.set(of, Number(state.reason !== 'Fresh'));
    if (lastScheduleMs !== undefined) metrics.etcdSnapshotLastSchedule.set(of, lastScheduleMs / 1_000);
    if (lastSuccessMs === undefined) return;
    metrics.etcdSnapshotLastSuccess.set(of, lastSuccessMs / 1_000);
    metrics.etcdSnapshotAge.set(of, Math.max(0, clock.wallMs() - lastSuccessMs) / 1_000);
  }

  #forgetMember({ namespace, name }: { readonly namespace: string; readonly name: string }, ordinal: number): void {
    const { metrics } = this.#deps;
    const member = { namespace, cluster: name, member: `${namesOf(name).etcd}-${ordinal}` };
    for (const metric of [metrics.etcdSize, metrics.etcdInUse, metrics.etcdSizeHigh]) metric.remove(member);
  }

  /** A step that etcd refuses or does not answer is looked at again; nothing of it is an error of the cluster. */
  async #take(step: EtcdStep, { plan }: Situation, signal: AbortSignal): Promise<void> {
    if (step.type === 'nothing') return;
    const log = { cluster: plan.name, namespace: plan.namespace, step: step.type };
    this.#deps.logger.info(log, 'looking after etcd');
    try {
      await this.#carryOut(step, plan, signal);
    } catch (error) {
      if (!(error instanceof EtcdCallError)) throw error;
      this.#deps.logger.warn({ ...log, err: error }, 'etcd did not let it be done; trying again');
    }
  }

  async #carryOut(step: Exclude<EtcdStep, { type: 'nothing' }>, plan: ClusterPlan, signal: AbortSignal): Promise<void> {
    switch (step.type) {
      case 'promote':
        return step.by.promote(step.memberId);
      case 'remove':
        return step.by.remove(step.memberId);
      case 'disarm':
        return step.by.disarm(step.alarm);
      case 'defragment':
        this.#defragmentedMs.set(step.member.client.url, this.#deps.clock.monotonicMs());
        return step.member.client.defragment();
      case 'move-leader':
        return step.from.client.moveLeader(step.toMemberId);
      case 'recreate': {
        const name = `${namesOf(plan.name).etcd}-${step.ordinal}`;
        await this.#deps.client.delete(kinds.Pod, { namespace: plan.namespace, name }, { signal });
        return;
      }
      case 'scale':
        return;
    }
  }
}

const isOutOfSpace = ({ alarms }: EtcdView): boolean => alarms.some(({ alarm }) => alarm === 'NOSPACE');

/** True for a pod that was prepared and started before that time. */
function hasRunSince({ status, metadata }: Stored<Pod>, ms: number): boolean {
  if (metadata.deletionTimestamp !== undefined || status?.startTime === undefined) return false;
  const isPrepared = (status.initContainerStatuses ?? []).every(({ state }) => state?.terminated?.exitCode === 0);
  return isPrepared && Date.parse(status.startTime) <= ms;
}

function replicasAfter({ replicas, isStopped }: Situation, members: MemberPlan, step: EtcdStep): number {
  if (isStopped) return 0;
  if (step.type === 'scale') return step.to;
  return replicas === undefined || replicas === 0 ? members.members : replicas;
}

interface Looked {
  readonly situation: Situation;
  readonly members: MemberPlan;
  readonly view: EtcdView;
  readonly replicas: number;
  readonly snapshots: SnapshotView;
  readonly step: EtcdStep;
}

function outcomeOf(looked: Looked): EtcdOutcome {
  const { view, replicas, snapshots, step, situation } = looked;
  const state = stateOf(looked);
  const sizes = view.members.flatMap(({ status }) => (status === undefined ? [] : [status.sizeBytes]));
  const { lastSnapshot, lastSuccessMs } = snapshots;
  const isSettled = state.reason === 'Answering' && step.type === 'nothing' && state.ready === replicas;
  return {
    state,
    snapshot: snapshots.state,
    status: {
      members: replicas,
      ready: state.ready ?? 0,
      ...(sizes.length > 0 && { sizeBytes: rounded(Math.max(...sizes)) }),
      ...(lastSnapshot !== undefined && { lastSnapshot }),
      ...(lastSuccessMs !== undefined && { lastSnapshotTime: new Date(lastSuccessMs).toISOString() }),
    },
    requeueAfterMs: isSettled || situation.isStopped ? lookMs : lookSoonMs,
  };
}

const mebibyte = 2 ** 20;
/** So that a size that moves a little is not written with every look. */
const rounded = (bytes: number): number => Math.ceil(bytes / (16 * mebibyte)) * 16 * mebibyte;

function stateOf({ situation, members, view }: Looked): EtcdState {
  const { etcd, isStopped, replicas = 0 } = situation;
  const ready = view.members.filter(({ isHealthy }) => isHealthy).length;
  const count = { isManaged: true, members: isStopped ? 0 : Math.max(replicas, 1), ready };
  const say = (reason: EtcdState['reason'], message: string): EtcdState => ({ ...count, reason, message });
  if (isStopped) return say('NotAnswering', `it is stopped: the annotation ${etcdAnnotation} says so`);
  if (!members.isInitialized) {
    const { restoreFrom } = etcd;
    const message =
      restoreFrom === undefined ? 'its members start for the first time' : `its members begin with ${restoreFrom}`;
    return { ...say('Starting', message), isRestoring: restoreFrom !== undefined };
  }
  if (isOutOfSpace(view))
    return say('OutOfSpace', 'it refuses writes since its quota is used up; space is being freed');
  const inUse = Math.max(0, ...view.members.map(({ status }) => status?.inUseBytes ?? 0));
  const quotaUsed = Math.round((inUse / etcd.quotaBackendBytes) * 20) / 20;
  if (view.membership !== undefined) {
    return { ...say('Answering', `${ready} of ${count.members} members are ready`), quotaUsed };
  }
  const answering = view.members.filter(({ status }) => status !== undefined).length;
  return answering === 0
    ? say('NotAnswering', 'no member answers')
    : say('NoQuorum', `${answering} of ${count.members} members answer, too few to decide anything`);
}
