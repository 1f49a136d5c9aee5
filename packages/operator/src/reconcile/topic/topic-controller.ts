/**
 * KafScaleTopic → a topic of Kafka. Puts the reconciler together with what makes it run: changes of topics and of their clusters, and
 * what the periodic look at each cluster finds.
 */
import { Controller, mappedSource, objectKey, type ObjectName, type Source, type Stored } from '../../kube/index.ts';
import type { KafScaleCluster, KafScaleTopic } from '../resource-kinds.ts';
import { topicsOfCluster } from '../watched-world.ts';
import { ClusterCatalogues } from './cluster-catalogues.ts';
import type { TopicControllerDeps } from './topic-controller-deps.ts';
import { hasBrokers, TopicReconciler } from './topic-reconciler.ts';
import { Wishes } from './topic-wish.ts';

/** Started for a term of leading, and stopped with it. */
export interface TopicController {
  start(): Promise<void>;
  enqueue(topic: ObjectName): void;
  /** Resolves when no reconcile runs any more and every client is closed. */
  stop(): Promise<void>;
}

/** So many reconciles wait for the brokers at once; what they ask goes out in few requests. */
const workers = 64;

export function createTopicController(deps: TopicControllerDeps): TopicController {
  const { clock, random, logger, metrics } = deps;
  const wishes = new Wishes();
  const catalogues = new ClusterCatalogues({ ...deps, wishes, onChange: (topic) => controller.enqueue(topic) });
  const reconciler = new TopicReconciler({ ...deps, wishes, catalogues });
  const controller = new Controller({
    ...{ name: 'topic', clock, random, logger, metrics, queue: { workers } },
    reconcile: (name, context) => reconciler.reconcile(name, context),
    sources: [...topicSources(deps, wishes), ...clusterSources(deps)],
  });
  return {
    start: () => controller.start(),
    enqueue: (topic) => controller.enqueue(topic),
    async stop() {
      // Reconciles that wait for brokers end at once when their client is closed.
      catalogues.close();
      await controller.stop();
    },
  };
}

/** A change concerns the resource itself, and others that describe the topic of the same name. */
function topicSources({ world }: TopicControllerDeps, wishes: Wishes): readonly Source[] {
  const rivals = (topic: Stored<KafScaleTopic>): readonly ObjectName[] => {
    const { clusterRef, topicName } = wishes.of(topic);
    const cluster = objectKey({ namespace: topic.metadata.namespace, name: clusterRef });
    const others = world.topics.byIndex(topicsOfCluster, cluster);
    return others.filter((other) => wishes.of(other).topicName === topicName).map(({ metadata }) => metadata);
  };
  return world.topics.sources((informer) =>
    mappedSource<KafScaleTopic>(
      informer,
      ({ object }) => [object.metadata, ...rivals(object).filter(({ name }) => name !== object.metadata.name)],
      // Of a status nobody but us writes anything.
      { when: (change) => change.type !== 'updated' || isOtherWish(change.before, change.object) },
    ),
  );
}

function isOtherWish(before: KafScaleTopic, after: KafScaleTopic): boolean {
  const of = ({ metadata }: KafScaleTopic) =>
    JSON.stringify([
      metadata?.uid,
      metadata?.generation,
      metadata?.deletionTimestamp,
      metadata?.finalizers,
      metadata?.annotations,
    ]);
  return of(before) !== of(after);
}

/** A cluster that comes, goes, or has brokers again concerns all of its topics. */
function clusterSources({ world }: TopicControllerDeps): readonly Source[] {
  return world.clusters.sources((informer) =>
    mappedSource<KafScaleCluster>(
      informer,
      ({ object: { metadata } }) =>
        world.topics.byIndex(topicsOfCluster, objectKey(metadata)).map((topic) => topic.metadata),
      { when: (change) => change.type !== 'updated' || hasBrokers(change.before) !== hasBrokers(change.object) },
    ),
  );
}
