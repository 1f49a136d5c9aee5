/** Where a partition's leader is, told beside the error that sends a client away (KIP-951), so that it need not ask for metadata. */
import type { MetadataImage } from '../metadata/metadata-image.ts';

export interface LeaderHint {
  readonly currentLeader: { readonly leaderId: number; readonly leaderEpoch: number };
  /** The leader's address, when it is known and alive. */
  readonly endpoint:
    { readonly nodeId: number; readonly host: string; readonly port: number; readonly rack: string | null } | undefined;
}

/** What stands in an answer that has nothing to tell. */
export const noLeader = { leaderId: -1, leaderEpoch: -1 };

/** Undefined when the image knows no such partition. */
export function leaderHint(image: MetadataImage, topicId: string, partition: number): LeaderHint | undefined {
  const state = image.partition(topicId, partition);
  if (state === undefined) return undefined;
  const leaderId = state.owner === '' ? -1 : state.brokerId;
  const node = image.brokers().find(({ brokerId }) => brokerId === leaderId);
  return {
    currentLeader: { leaderId, leaderEpoch: state.leaderEpoch },
    endpoint: node && { nodeId: leaderId, host: node.host, port: node.port, rack: node.rack || null },
  };
}
