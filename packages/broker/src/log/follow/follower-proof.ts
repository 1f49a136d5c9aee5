/** A follower can prove nothing about the end of a log that another broker writes: it sends its clients back to the leader. */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import type { OwnershipProof } from '../ownership-proof.ts';
import type { PartitionLog } from '../partition-log.ts';

/** OFFSET_NOT_AVAILABLE as in KIP-392: clients ask again, and the leader if need be. */
export const followerProof: OwnershipProof = {
  mayServe: true,
  confirm({ closed }: PartitionLog): Promise<void> {
    const code = closed ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.OFFSET_NOT_AVAILABLE;
    return Promise.reject(new KafkaError(code, 'a broker that only reads cannot tell'));
  },
};
