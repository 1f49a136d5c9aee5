/** Fetches of what is not there, and limits that make no sense. */
import { ErrorCode, fetch } from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { batchesOf, fetchFrom, fetchRequest, type FetchPlan } from '../broker-fixture.ts';
import { known, type Row } from './row.contract.ts';

const fetched = async (client: RawClient, plan: FetchPlan): Promise<number> =>
  (await fetchFrom(client, known, 0, plan)).errorCode;

const sessionError = async (client: RawClient, sessionId: number, sessionEpoch: number): Promise<number> =>
  (await client.request(fetch, 12, fetchRequest(known, 0, { offset: 0, sessionId, sessionEpoch }))).errorCode;

export const fetchRows: readonly Row[] = [
  ['an offset behind the end', (client) => fetched(client, { offset: 1_000_000 }), ErrorCode.OFFSET_OUT_OF_RANGE],
  ['a negative offset', (client) => fetched(client, { offset: -1 }), ErrorCode.OFFSET_OUT_OF_RANGE],
  ['offset 2^53 - 1', (client) => fetched(client, { offset: Number.MAX_SAFE_INTEGER }), ErrorCode.OFFSET_OUT_OF_RANGE],
  [
    'an unknown topic',
    async (client) => (await fetchFrom(client, 'unknown', 0, { offset: 0 })).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a negative partition',
    async (client) => (await fetchFrom(client, known, -1, { offset: 0 })).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a topic id that does not exist',
    async (client) => (await fetchFrom(client, '', 0, { offset: 0, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' }, 13)).errorCode,
    ErrorCode.UNKNOWN_TOPIC_ID,
  ],
  ['a session that does not exist', (client) => sessionError(client, 12_345, 1), ErrorCode.FETCH_SESSION_ID_NOT_FOUND],
  [
    'a leader epoch of the future',
    (client) => fetched(client, { offset: 0, currentLeaderEpoch: 9_999 }),
    ErrorCode.UNKNOWN_LEADER_EPOCH,
  ],
  [
    'byte limits of 0, which still give a whole batch',
    async (client) =>
      batchesOf(await fetchFrom(client, known, 0, { offset: 0, maxBytes: 0, partitionMaxBytes: 0 })).length > 0,
    true,
  ],
  [
    'negative byte limits, which still give a whole batch',
    async (client) =>
      batchesOf(await fetchFrom(client, known, 0, { offset: 0, maxBytes: -5, partitionMaxBytes: -5 })).length > 0,
    true,
  ],
  [
    'more bytes to wait for than may be sent',
    (client) => fetched(client, { offset: 0, minBytes: 0x7fff_ffff, maxBytes: 1, maxWaitMs: 10 }),
    ErrorCode.NONE,
  ],
  ['a negative wait', (client) => fetched(client, { offset: 0, minBytes: 1_000_000, maxWaitMs: -1 }), ErrorCode.NONE],
  [
    'fifty thousand partitions that do not exist',
    async (client) => {
      const request = fetchRequest(known, 0, { offset: 0 });
      const [partition] = request.topics[0]!.partitions;
      const partitions = Array.from({ length: 50_000 }, (_, index) => ({ ...partition!, partition: 1_000 + index }));
      const { responses } = await client.request(fetch, 12, {
        ...request,
        topics: [{ ...request.topics[0]!, partitions }],
      });
      const codes = responses.flatMap((topic) => topic.partitions.map(({ errorCode }) => errorCode));
      return [codes.length, new Set(codes).size, codes[0]];
    },
    [50_000, 1, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
  ],
];
