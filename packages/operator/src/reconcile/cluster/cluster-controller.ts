/** The controller of KafScaleCluster: which changes make it look at a cluster again. */
import {
  Controller,
  findCondition,
  instanceLabel,
  mappedSource,
  ownedSource,
  ownSource,
  specChanged,
  type CacheChange,
  type KubeObject,
  type ObjectName,
  type Source,
  type Stored,
  type WatchedKind,
} from '../../kube/index.ts';
import { clusterResource, type KafScaleTopic } from '../resource-kinds.ts';
import { ClusterReconciler, type ClusterDeps } from './cluster-reconciler.ts';

/** As many clusters are looked at at once; a broker that hands over holds one of them for some seconds. */
const workers = 8;
const reconcileLimitMs = 120_000;

export function createClusterController(deps: ClusterDeps): Controller {
  const { world, clock, random, logger, metrics } = deps;
  const reconciler = new ClusterReconciler(deps);
  const sources: readonly Source[] = [
    ...world.clusters.sources((informer) => ownSource(informer, { when: specChanged })),
    ...Object.values(world.children).flatMap((watched) => ownedSources(watched as WatchedKind<KubeObject>)),
    // A pod belongs to a ReplicaSet; its labels say of which cluster it is.
    ...world.pods.sources((informer) => mappedSource(informer, ({ object }) => clusterOfLabels(object))),
    ...world.topics.sources((informer) => mappedSource(informer, clustersOfTopic, { when: changesSync })),
  ];
  return new Controller({
    ...{ name: 'kafscalecluster', clock, random, logger, metrics, sources, deadlineMs: reconcileLimitMs },
    reconcile: (name, context) => reconciler.reconcile(name, context),
    queue: { workers, backoff: { baseMs: 500, maxMs: 60_000 } },
  });
}

const ownedSources = (watched: WatchedKind<KubeObject>): readonly Source[] =>
  watched.sources((informer) => ownedSource(informer, clusterResource));

function clusterOfLabels({ metadata }: Stored<KubeObject>): readonly ObjectName[] {
  const name = metadata.labels?.[instanceLabel];
  return name === undefined ? [] : [{ namespace: metadata.namespace, name }];
}

function clustersOfTopic({ object: { metadata, spec } }: CacheChange<KafScaleTopic>): readonly ObjectName[] {
  const name = (spec as { readonly clusterRef?: unknown } | undefined)?.clusterRef;
  return typeof name === 'string' ? [{ namespace: metadata.namespace, name }] : [];
}

/** A cluster counts its topics and those that are not in sync; nothing else of theirs concerns it. */
function changesSync(change: CacheChange<KafScaleTopic>): boolean {
  if (change.type !== 'updated') return true;
  const ready = ({ status }: KafScaleTopic) => findCondition(status?.conditions, 'Ready')?.status;
  return ready(change.before) !== ready(change.object);
}
