/** For tests of the broker as a whole: one consumer of a group, as its client library would speak. */
import {
  ErrorCode,
  heartbeat,
  joinGroup,
  leaveGroup,
  offsetCommit,
  syncGroup,
  zeroUuid,
  type ResponseOf,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';

const { NONE, MEMBER_ID_REQUIRED } = ErrorCode;

export type Joined = ResponseOf<typeof joinGroup>;

export class Member {
  readonly #client: RawClient;
  readonly #groupId: string;
  readonly #instanceId: string | null;
  memberId = '';
  generationId = -1;

  constructor(client: RawClient, groupId: string, instanceId: string | null = null) {
    this.#client = client;
    this.#groupId = groupId;
    this.#instanceId = instanceId;
  }

  /** Joins, with the id that it is told first where it has none. */
  async join(metadata = 'subscription'): Promise<Joined> {
    const request = {
      groupId: this.#groupId,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 30_000,
      groupInstanceId: this.#instanceId,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from(metadata) }],
      reason: null,
    };
    let answer = await this.#client.request(joinGroup, 9, { ...request, memberId: this.memberId });
    if (answer.errorCode === MEMBER_ID_REQUIRED) {
      this.memberId = answer.memberId;
      answer = await this.#client.request(joinGroup, 9, { ...request, memberId: this.memberId });
    }
    if (answer.errorCode === NONE) {
      this.memberId = answer.memberId;
      this.generationId = answer.generationId;
    }
    return answer;
  }

  /** Syncs; answers the assignment, or the error's code. */
  async sync(assignments: ReadonlyMap<string, string> = new Map()): Promise<string | number> {
    const { errorCode, assignment } = await this.#client.request(syncGroup, 5, {
      ...this.#identity(),
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: Array.from(assignments, ([memberId, text]) => ({ memberId, assignment: Buffer.from(text) })),
    });
    return errorCode === NONE ? Buffer.from(assignment).toString() : errorCode;
  }

  async beat(): Promise<number> {
    return (await this.#client.request(heartbeat, 4, this.#identity())).errorCode;
  }

  async commit(offset: bigint, topic = 't'): Promise<number> {
    const { topics } = await this.#client.request(offsetCommit, 8, {
      groupId: this.#groupId,
      generationIdOrMemberEpoch: this.generationId,
      memberId: this.memberId,
      groupInstanceId: this.#instanceId,
      retentionTimeMs: -1n,
      topics: [{ name: topic, topicId: zeroUuid, partitions: [committedPartition(offset)] }],
    });
    return topics[0]!.partitions[0]!.errorCode;
  }

  async leave(): Promise<number> {
    const { errorCode } = await this.#client.request(leaveGroup, 5, {
      groupId: this.#groupId,
      memberId: this.memberId,
      members: [{ memberId: this.memberId, groupInstanceId: null, reason: null }],
    });
    return errorCode;
  }

  /** On another connection, with the same identity. */
  on(client: RawClient): Member {
    const moved = new Member(client, this.#groupId, this.#instanceId);
    moved.memberId = this.memberId;
    moved.generationId = this.generationId;
    return moved;
  }

  #identity() {
    return {
      groupId: this.#groupId,
      generationId: this.generationId,
      memberId: this.memberId,
      groupInstanceId: this.#instanceId,
    };
  }
}

export const committedPartition = (committedOffset: bigint) => ({
  partitionIndex: 0,
  committedOffset,
  committedLeaderEpoch: -1,
  commitTimestamp: -1n,
  committedMetadata: 'noted',
});
