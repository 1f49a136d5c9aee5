/** Members, generations and offsets that no group knows, and ids that look dangerous and are legal. */
import {
  deleteGroups,
  ErrorCode,
  findCoordinator,
  heartbeat,
  joinGroup,
  offsetCommit,
  offsetFetch,
  zeroUuid,
  type RequestOf,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { known, int64Max, type Row } from './row.contract.ts';

const strangeIds = ['/', '\0', '..', '../../x', '__proto__', 'ä\n', 'x'.repeat(30_000)];

const joining = (groupId: string, rest: Partial<RequestOf<typeof joinGroup>> = {}): RequestOf<typeof joinGroup> => ({
  groupId,
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 10_000,
  memberId: '',
  groupInstanceId: null,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: Buffer.alloc(0) }],
  reason: null,
  ...rest,
});

const joined = async (client: RawClient, request: RequestOf<typeof joinGroup>): Promise<number> =>
  (await client.request(joinGroup, 9, request)).errorCode;

const beaten = async (client: RawClient, groupId: string, memberId: string, generationId = 1): Promise<number> =>
  (await client.request(heartbeat, 4, { groupId, generationId, memberId, groupInstanceId: null })).errorCode;

interface Commit {
  readonly groupId: string;
  readonly offset?: bigint;
  readonly text?: string;
  readonly generation?: number;
  readonly partition?: number;
}

async function committed(
  client: RawClient,
  { groupId, offset = 1n, text = '', generation = -1, partition = 0 }: Commit,
): Promise<number> {
  const partitions = [
    {
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      commitTimestamp: -1n,
      committedMetadata: text,
    },
  ];
  const response = await client.request(offsetCommit, 8, {
    groupId,
    generationIdOrMemberEpoch: generation,
    memberId: '',
    groupInstanceId: null,
    retentionTimeMs: -1n,
    topics: [{ name: known, topicId: zeroUuid, partitions }],
  });
  return response.topics[0]!.partitions[0]!.errorCode;
}

async function committedOffset(client: RawClient, groupId: string): Promise<bigint> {
  const topics = [{ name: known, partitionIndexes: [0] }];
  const response = await client.request(offsetFetch, 7, { groupId, topics, groups: [], requireStable: false });
  return response.topics[0]!.partitions[0]!.committedOffset;
}

export const groupRows: readonly Row[] = [
  ['an empty group id', (client) => joined(client, joining('')), ErrorCode.INVALID_GROUP_ID],
  [
    'a session timeout of 1 ms',
    (client) => joined(client, joining('g', { sessionTimeoutMs: 1 })),
    ErrorCode.INVALID_SESSION_TIMEOUT,
  ],
  [
    'a session timeout of 2^31 - 1',
    (client) => joined(client, joining('g', { sessionTimeoutMs: 0x7fff_ffff })),
    ErrorCode.INVALID_SESSION_TIMEOUT,
  ],
  ['a first join without an id', (client) => joined(client, joining('g')), ErrorCode.MEMBER_ID_REQUIRED],
  [
    'a join by a member nobody knows',
    (client) => joined(client, joining('g', { memberId: 'ghost' })),
    ErrorCode.UNKNOWN_MEMBER_ID,
  ],
  ['no protocols', (client) => joined(client, joining('g', { protocols: [] })), ErrorCode.INCONSISTENT_GROUP_PROTOCOL],
  ['a heartbeat to a group nobody knows', (client) => beaten(client, 'nobody', 'ghost'), ErrorCode.UNKNOWN_MEMBER_ID],
  ['a heartbeat with an empty group id', (client) => beaten(client, '', 'ghost'), ErrorCode.INVALID_GROUP_ID],
  [
    'a commit of a generation in a group nobody knows',
    (client) => committed(client, { groupId: 'nobody', generation: 5 }),
    ErrorCode.ILLEGAL_GENERATION,
  ],
  [
    'a commit with 4 097 bytes of metadata',
    (client) => committed(client, { groupId: 'long', text: 'x'.repeat(4_097) }),
    ErrorCode.OFFSET_METADATA_TOO_LARGE,
  ],
  [
    'a commit for a partition that does not exist',
    (client) => committed(client, { groupId: 'far', partition: 99 }),
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  ['a fetch of a group that has committed nothing', (client) => committedOffset(client, 'nothing'), -1n],
  ...[2n ** 53n + 1n, int64Max].map((offset): Row => [
    `a commit of offset ${offset}, which comes back exactly`,
    async (client) => [
      await committed(client, { groupId: `exact-${offset}`, offset }),
      await committedOffset(client, `exact-${offset}`),
    ],
    [ErrorCode.NONE, offset],
  ]),
  ...strangeIds.map((groupId): Row => [
    `the group id ${JSON.stringify(groupId).slice(0, 30)}, which is legal and a group of its own`,
    async (client) => [
      await committed(client, { groupId, offset: 42n }),
      await committedOffset(client, groupId),
      await committedOffset(client, `${groupId}x`),
    ],
    [ErrorCode.NONE, 42n, -1n],
  ]),
  [
    'the deletion of a group nobody knows',
    async (client) =>
      (await client.request(deleteGroups, 2, { groupsNames: ['nobody', ''] })).results.map(
        ({ errorCode }) => errorCode,
      ),
    [ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.GROUP_ID_NOT_FOUND],
  ],
  [
    'a coordinator of a kind that does not exist',
    async (client) => {
      const { coordinators } = await client.request(findCoordinator, 4, {
        key: '',
        keyType: 9,
        coordinatorKeys: ['x'],
      });
      return coordinators.map(({ errorCode }) => errorCode);
    },
    [ErrorCode.INVALID_REQUEST],
  ],
];
