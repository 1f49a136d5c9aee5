/** Whom to send a client to: the broker that owns a partition or shard, unless it is known to be gone. */
import type { BrokerImage, MetadataImage, PartitionImage } from './metadata-image.ts';

/** Undefined while nobody owns it, and when the owner's session is gone as far as the image knows. */
export function livingOwner(
  image: Pick<MetadataImage, 'brokers'>,
  { owner }: Pick<PartitionImage, 'owner'>,
): BrokerImage | undefined {
  return owner === '' ? undefined : image.brokers().find(({ incarnation }) => incarnation === owner);
}
