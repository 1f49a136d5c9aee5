/**
 * Holds a resource whose topic is to be deleted with it until that is done. Only `deletionPolicy: Delete` needs it, and there are ways
 * out: an annotation, and the end of the cluster, whose brokers nobody could ask any more.
 */
import type { KubeClient, Stored } from '../../kube/index.ts';
import { topicResource, type KafScaleTopic } from '../resource-kinds.ts';

export const topicFinalizer = 'kafscale.io/topic';

/** Set to "true" on a resource that is being deleted, it goes at once and its topic stays. */
export const forceDeleteAnnotation = 'kafscale.io/force-delete';

export const hasFinalizer = ({ metadata }: Stored<KafScaleTopic>): boolean =>
  metadata.finalizers?.includes(topicFinalizer) === true;

export const isForced = ({ metadata }: Stored<KafScaleTopic>): boolean =>
  metadata.annotations?.[forceDeleteAnnotation] === 'true';

/** Writes only where it is not so yet. Throws `conflict` when the resource has changed meanwhile. */
export async function setFinalizer(
  client: Pick<KubeClient, 'patch'>,
  topic: Stored<KafScaleTopic>,
  { wanted, signal }: { readonly wanted: boolean; readonly signal: AbortSignal },
): Promise<void> {
  if (hasFinalizer(topic) === wanted) return;
  const { finalizers = [], resourceVersion } = topic.metadata;
  const others = finalizers.filter((one) => one !== topicFinalizer);
  const patch = { metadata: { resourceVersion, finalizers: wanted ? [...others, topicFinalizer] : others } };
  await client.patch(topicResource, topic.metadata, patch, { signal });
}
