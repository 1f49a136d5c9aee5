/** What is left: offsets and epochs out of range, and authentication where there is none. */
import {
  deleteRecords,
  ErrorCode,
  listOffsets,
  offsetForLeaderEpoch,
  saslAuthenticate,
  saslHandshake,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { leaderEpochOf } from '../broker-fixture.ts';
import { known, int64Max, int64Min, type Row } from './row.contract.ts';

async function listed(client: RawClient, timestamp: bigint, partition = 0): Promise<number> {
  const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp, maxNumOffsets: 1 }];
  const request = { replicaId: -1, isolationLevel: 0, topics: [{ name: known, partitions }], timeoutMs: 0 };
  return (await client.request(listOffsets, 7, request)).topics[0]!.partitions[0]!.errorCode;
}

async function deletedUpTo(client: RawClient, offset: number): Promise<number> {
  const topics = [{ name: known, partitions: [{ partitionIndex: 1, offset }] }];
  return (await client.request(deleteRecords, 2, { topics, timeoutMs: 30_000 })).topics[0]!.partitions[0]!.errorCode;
}

export const otherRows: readonly Row[] = [
  ['a timestamp of 2^63 - 1', (client) => listed(client, int64Max), ErrorCode.NONE],
  ['the partition -1', (client) => listed(client, -1n, -1), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
  [
    'a special timestamp of no version',
    async (client) => (await listed(client, int64Min)) !== ErrorCode.UNKNOWN_SERVER_ERROR,
    true,
  ],
  ['a deletion of records behind the end', (client) => deletedUpTo(client, 1_000_000), ErrorCode.OFFSET_OUT_OF_RANGE],
  ['a deletion of records at offset -2', (client) => deletedUpTo(client, -2), ErrorCode.OFFSET_OUT_OF_RANGE],
  [
    'an epoch that a leader has not had',
    async (client) => {
      const partitions = [
        { partition: 0, currentLeaderEpoch: 1 + (await leaderEpochOf(client, known)), leaderEpoch: 0 },
      ];
      const request = { replicaId: -2, topics: [{ topic: known, partitions }] };
      return (await client.request(offsetForLeaderEpoch, 4, request)).topics[0]!.partitions[0]!.errorCode;
    },
    ErrorCode.UNKNOWN_LEADER_EPOCH,
  ],
  [
    'a SASL handshake on a listener without authentication',
    async (client) => (await client.request(saslHandshake, 1, { mechanism: 'PLAIN' })).errorCode,
    ErrorCode.ILLEGAL_SASL_STATE,
  ],
  [
    'SASL bytes on a listener without authentication',
    async (client) => (await client.request(saslAuthenticate, 2, { authBytes: Buffer.from('\0u\0p') })).errorCode,
    ErrorCode.ILLEGAL_SASL_STATE,
  ],
];
