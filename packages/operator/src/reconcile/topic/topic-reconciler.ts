/**
 * Makes one topic as its resource says, by requests that any Kafka client could send: looks, asks for what differs, looks again and says
 * in the status what came of it. What the brokers refuse is a condition with their words, never a crash, and is tried again ever later.
 */
import { ErrorCode } from '@kafscale/protocol';
import { KafkaAdminError } from '../../brokers/kafka-admin.ts';
import { KafkaUnreachable } from '../../brokers/kafka-connection.ts';
import {
  findCondition,
  isKubeError,
  objectKey,
  settledResult,
  StatusWriter,
  type ObjectName,
  type ReconcileContext,
  type ReconcileResult,
  type Stored,
} from '../../kube/index.ts';
import { topicResource, type KafScaleCluster, type KafScaleTopic } from '../resource-kinds.ts';
import { topicsOfCluster } from '../watched-world.ts';
import type { ClusterCatalogues } from './cluster-catalogues.ts';
import { isGone, type SeenTopic, type TopicCatalogue } from './topic-catalogue.ts';
import type { TopicControllerDeps } from './topic-controller-deps.ts';
import { forceDeleteAnnotation, hasFinalizer, isForced, setFinalizer } from './topic-finalizer.ts';
import { isTopicEvent, topicEvent, type TopicEventReason } from './topic-events.ts';
import { isNothing, planOf, type TopicPlan } from './topic-plan.ts';
import {
  conditionsOf,
  readyCondition,
  statusBeforeSetting,
  statusOf,
  unchangedForMs,
  type TopicFinding,
} from './topic-status.ts';
import type { TopicWish, Wishes } from './topic-wish.ts';

type Deps = Pick<TopicControllerDeps, 'client' | 'world' | 'events' | 'clock' | 'logger'> & {
  readonly wishes: Wishes;
  readonly catalogues: ClusterCatalogues;
};

/** One resource at one moment. */
interface Case {
  readonly topic: Stored<KafScaleTopic>;
  readonly wish: TopicWish;
  readonly signal: AbortSignal;
}

/** What was refused waits as long as it has been refused, within these bounds. */
const shortestRetryMs = 5_000;
const longestRetryMs = 300_000;
/** Everything else ends by a change that is heard of. */
const comesAgain: ReadonlySet<TopicFinding['reason']> = new Set(['Refused', 'Unreachable', 'Deleting']);
/** Look, write, look; once more where somebody else wrote in between. */
const mostRounds = 3;

/** Whether there is a broker that could be asked. */
export const hasBrokers = ({ status }: KafScaleCluster): boolean => (status?.brokers?.ready ?? 0) > 0;

export class TopicReconciler {
  readonly #deps: Deps;
  readonly #statuses: StatusWriter;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#statuses = new StatusWriter(deps.client);
  }

  async reconcile(name: ObjectName, { signal }: ReconcileContext): Promise<ReconcileResult> {
    const { world, wishes } = this.#deps;
    const topic = world.topics.get(name);
    if (topic === undefined) {
      this.#statuses.forget(topicResource, { metadata: { name: name.name, namespace: name.namespace ?? '' } });
      return settledResult;
    }
    const one: Case = { topic, wish: wishes.of(topic), signal };
    try {
      if (topic.metadata.deletionTimestamp !== undefined) return await this.#remove(one);
      const finding = await this.#findingOf(one);
      return await this.#tell(one, finding);
    } catch (error) {
      if (isKubeError(error, 'not-found')) return settledResult; // it was deleted meanwhile
      const finding = findingOf(error);
      if (finding === undefined || signal.aborted) throw error;
      return this.#tell(one, finding);
    }
  }

  async #findingOf(one: Case): Promise<TopicFinding> {
    const { topic, wish, signal } = one;
    const { client, catalogues } = this.#deps;
    if (wish.fault !== undefined) return { reason: 'Refused', message: wish.fault };
    const holder = this.#holderOf(one);
    if (holder.metadata.uid !== topic.metadata.uid) {
      const message = `KafScaleTopic ${holder.metadata.name} describes the topic ${wish.topicName} already, and is older; delete one of the two`;
      return { reason: 'NameTaken', message };
    }
    await setFinalizer(client, topic, { wanted: wish.deletionPolicy === 'Delete', signal });
    const obstacle = this.#obstacle(one);
    if (obstacle !== undefined) return obstacle;
    return this.#make(one, catalogues.of(this.#clusterOf(one)));
  }

  /** Of all resources for this topic the oldest one; it alone writes. */
  #holderOf({ topic, wish }: Case): Stored<KafScaleTopic> {
    const { world, wishes } = this.#deps;
    const all = world.topics
      .byIndex(topicsOfCluster, objectKey(this.#clusterOf({ topic, wish })))
      .filter((other) => wishes.of(other).topicName === wish.topicName);
    const age = ({ metadata }: Stored<KafScaleTopic>) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
    return all.reduce((oldest, other) => (age(other) < age(oldest) ? other : oldest), topic);
  }

  #clusterOf({ topic, wish }: Pick<Case, 'topic' | 'wish'>) {
    return { namespace: topic.metadata.namespace, name: wish.clusterRef };
  }

  /** Why no broker can be asked; undefined when one can. */
  #obstacle(one: Case): TopicFinding | undefined {
    const { world, catalogues } = this.#deps;
    const at = this.#clusterOf(one);
    const cluster = world.clusters.get(at);
    if (cluster !== undefined && hasBrokers(cluster)) return undefined;
    catalogues.forget(at);
    if (cluster === undefined) {
      const message = `there is no KafScaleCluster ${at.name} in namespace ${at.namespace ?? ''}; create it, or change clusterRef in a new resource`;
      return { reason: 'ClusterNotFound', message };
    }
    const message = `KafScaleCluster ${at.name} has no ready broker; the topic is looked after as soon as it has one`;
    return { reason: 'ClusterNotReady', message };
  }

  async #make(one: Case, catalogue: TopicCatalogue): Promise<TopicFinding> {
    const { wish, topic } = one;
    const { status } = this.#statuses.newest(topicResource, topic);
    const applied = status?.appliedConfig ?? [];
    const names = new Set([...wish.configs.keys(), ...applied]);
    const isNew = status?.topicId === undefined;
    let seen: SeenTopic | undefined;
    let wasCreated = false;
    for (let round = 0; round < mostRounds; round += 1) {
      seen = await catalogue.topic(wish.topicName, names);
      const plan = planOf(wish, seen, applied);
      if (isNothing(plan)) break;
      await this.#remember(one, [...names]);
      const refused = await this.#carryOut(one, plan, catalogue);
      wasCreated ||= plan.type === 'create';
      if (refused !== undefined) return { ...refusal(refused), seen: seen ?? 'missing', applied: [...names] };
    }
    if (seen === undefined) {
      const message = 'the brokers say that the topic exists and do not show it: it is probably being deleted';
      return { reason: 'Unreachable', message, seen: 'missing', applied: [...names] };
    }
    if (isNew && !wasCreated) {
      this.#report(topic, 'Adopted', `topic ${wish.topicName} existed already and is kept as this resource says`);
    }
    return { ...agreement(wish, seen), seen, applied: [...wish.configs.keys()] };
  }

  /** Before anything is set it is known to be ours: an operator that dies in between sets it back all the same. */
  async #remember({ topic, signal }: Case, names: readonly string[]): Promise<void> {
    const newest = this.#statuses.newest(topicResource, topic);
    const known = new Set(newest.status?.appliedConfig);
    if (names.every((name) => known.has(name))) return;
    const status = statusBeforeSetting(newest, [...new Set([...known, ...names])]);
    await this.#statuses.write(topicResource, topic, status, { signal });
  }

  /** What the brokers have against it; undefined when all was done. */
  async #carryOut(one: Case, plan: TopicPlan, catalogue: TopicCatalogue): Promise<KafkaAdminError | undefined> {
    const { topic, wish, signal } = one;
    const name = wish.topicName;
    signal.throwIfAborted();
    if (plan.type === 'create') return this.#create(one, catalogue);
    const { growTo, set, unset } = plan;
    if (growTo !== undefined) {
      const refused = await catalogue.grow(name, growTo);
      // Whoever was faster: the next look tells.
      if (refused !== undefined && refused.code !== ErrorCode.INVALID_PARTITIONS) return refused;
      if (refused === undefined) this.#report(topic, 'PartitionsAdded', `topic ${name} has ${growTo} partitions now`);
    }
    if (Object.keys(set).length + unset.length === 0) return undefined;
    signal.throwIfAborted();
    const refused = await catalogue.alter({ name, set, unset });
    if (refused === undefined) {
      const changes = [
        ...Object.entries(set).map(([key, value]) => `${key}=${value}`),
        ...unset.map((key) => `${key} back to its default`),
      ];
      this.#report(topic, 'ConfigChanged', `topic ${name}: ${changes.join(', ')}`);
    }
    return refused;
  }

  async #create(one: Case, catalogue: TopicCatalogue): Promise<KafkaAdminError | undefined> {
    const { wish, topic } = one;
    const { topicName: name, partitions, configs } = wish;
    const refused = await catalogue.create({ name, partitions, configs: Object.fromEntries(configs) });
    // Also the answer to our own request whose first answer got lost.
    if (refused?.code === ErrorCode.TOPIC_ALREADY_EXISTS) return undefined;
    if (refused !== undefined) return refused;
    if (this.#statuses.newest(topicResource, topic).status?.topicId === undefined) {
      this.#report(topic, 'Created', `topic ${name} was created with ${partitions} partitions`);
    } else {
      const note = `topic ${name} was missing, deleted by somebody else; it was created again and is empty`;
      this.#report(topic, 'Recreated', note);
    }
    return undefined;
  }

  async #remove(one: Case): Promise<ReconcileResult> {
    const { topic, wish, signal } = one;
    const { client, catalogues } = this.#deps;
    if (!hasFinalizer(topic)) return settledResult;
    const isHolder = this.#holderOf(one).metadata.uid === topic.metadata.uid;
    if (isForced(topic)) {
      const note = `topic ${wish.topicName} stays, as the annotation ${forceDeleteAnnotation} asks`;
      this.#report(topic, 'TopicKept', note);
    } else if (wish.deletionPolicy === 'Delete' && wish.fault === undefined && isHolder) {
      const obstacle = this.#obstacle(one);
      // Nobody is left who could delete it.
      if (obstacle?.reason === 'ClusterNotFound') {
        this.#report(topic, 'TopicKept', `the cluster of topic ${wish.topicName} is gone; nothing was deleted`);
      } else {
        const refused = obstacle ?? (await this.#delete(one, catalogues.of(this.#clusterOf(one))));
        if (refused !== undefined) return this.#tell(one, stillThere(refused));
        this.#report(topic, 'Deleted', `topic ${wish.topicName} was deleted with its records`);
      }
    }
    await setFinalizer(client, topic, { wanted: false, signal });
    return settledResult;
  }

  async #delete({ wish }: Case, catalogue: TopicCatalogue): Promise<TopicFinding | undefined> {
    try {
      const refused = await catalogue.delete(wish.topicName);
      return isGone(refused) ? undefined : refusal(refused!);
    } catch (error) {
      const finding = findingOf(error);
      if (finding === undefined) throw error;
      return finding;
    }
  }

  /** Writes the status where it says something new, and comes again where something is in the way that no change would tell of. */
  async #tell({ topic, signal }: Case, finding: TopicFinding): Promise<ReconcileResult> {
    const { clock } = this.#deps;
    const newest = this.#statuses.newest(topicResource, topic);
    const before = findCondition(conditionsOf(newest.status), readyCondition);
    if (before?.reason !== finding.reason && isTopicEvent(finding.reason)) {
      this.#report(topic, finding.reason, finding.message);
    }
    await this.#statuses.write(topicResource, topic, statusOf(newest, finding, clock), { signal });
    if (!comesAgain.has(finding.reason)) return settledResult;
    const waitedMs = unchangedForMs(newest, finding.reason, clock.wallMs());
    return { requeueAfterMs: Math.min(longestRetryMs, Math.max(shortestRetryMs, waitedMs)) };
  }

  #report(topic: Stored<KafScaleTopic>, reason: TopicEventReason, note: string): void {
    this.#deps.events.record(topicResource, topic, topicEvent(reason, note));
  }
}

function agreement(wish: TopicWish, seen: SeenTopic): Pick<TopicFinding, 'reason' | 'message'> {
  const count = seen.leaders.length;
  if (count > wish.partitions) {
    const message = `the topic has ${count} partitions and ${wish.partitions} are asked for; Kafka cannot take any away, so set partitions to ${count}`;
    return { reason: 'PartitionsCannotShrink', message };
  }
  if (count < wish.partitions) {
    const message = `the brokers added partitions and show ${count} of ${wish.partitions} so far; looking again`;
    return { reason: 'Unreachable', message };
  }
  return { reason: 'Synced', message: `topic ${wish.topicName} is as asked, with ${count} partitions` };
}

const refusal = (error: KafkaAdminError): TopicFinding => ({
  reason: error.retriable ? 'Unreachable' : 'Refused',
  message: `${error.codeName}: ${error.message}`,
});

/** What the brokers, or their silence, have to say; undefined for what is no matter of theirs. */
function findingOf(error: unknown): TopicFinding | undefined {
  if (error instanceof KafkaAdminError) return refusal(error);
  if (error instanceof KafkaUnreachable) return { reason: 'Unreachable', message: `${error.message}; trying again` };
  return undefined;
}

const stillThere = ({ message }: TopicFinding): TopicFinding => ({
  reason: 'Deleting',
  message: `the topic is not deleted yet: ${message}. To keep it and let the resource go, annotate it with ${forceDeleteAnnotation}=true`,
});
