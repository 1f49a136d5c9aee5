/** Where a partition's leader is, told beside the error that sends a client away (KIP-951), so that it need not ask for metadata. */
import { livingOwner } from '../metadata/living-owner.ts';
import type { MetadataImage, PartitionImage } from '../metadata/metadata-image.ts';

export interface LeaderHint {
  readonly currentLeader: { readonly leaderId: number; readonly leaderEpoch: number };
  readonly endpoint: {
    readonly nodeId: number;
    readonly host: string;
    readonly port: number;
    readonly rack: string | null;
  };
}

/** What stands in an answer that has nothing to tell. */
export const noLeader = { leaderId: -1, leaderEpoch: -1 };

/** Undefined while the partition has no owner that is known to live: the client then asks for metadata. */
export function leaderHint(
  image: Pick<MetadataImage, 'brokers'>,
  partition: PartitionImage | undefined,
): LeaderHint | undefined {
  const node = partition && livingOwner(image, partition);
  if (node === undefined) return undefined;
  const { brokerId: leaderId, host, port, rack } = node;
  return {
    currentLeader: { leaderId, leaderEpoch: partition!.leaderEpoch },
    endpoint: { nodeId: leaderId, host, port, rack: rack || null },
  };
}
