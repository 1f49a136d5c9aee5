import { defineApi } from '../wire/define-api.ts';
import {
  array,
  errorCode,
  int32,
  int64,
  int8,
  nullable,
  offset,
  recordSlices,
  string,
  struct,
  uuid,
  zeroUuid,
} from '../wire/fields.ts';

const abortedTransaction = struct({ producerId: int64(), firstOffset: offset() });
const noReplica = { replicaId: -1, replicaEpoch: -1n };
const noEpoch = { epoch: -1, endOffset: -1 };
const noLeader = { leaderId: -1, leaderEpoch: -1 };

/**
 * Fetch: record batches from an offset on, waiting until enough bytes are there.
 * v4 adds isolation levels (KIP-98); v7 sessions (KIP-227); v9 leader epochs (KIP-320); v10 zstd (KIP-110); v11 the
 * consumer's rack (KIP-392); v12 divergence (KIP-595); v13 names topics by id (KIP-516); v16 endpoints of new leaders
 * (KIP-951); v17 directory ids of followers (KIP-853); v18 the high watermark a follower knows (KIP-1166).
 */
export const fetch = defineApi({
  key: 1,
  name: 'Fetch',
  versions: [0, 18],
  flexibleFrom: 12,
  request: struct({
    clusterId: nullable(string()).tagged(0, 12, null),
    replicaId: int32().until(15, -1), // -1 for consumers
    replicaState: struct({ replicaId: int32(), replicaEpoch: int64() }).tagged(1, 15, noReplica),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32().since(3, 0x7fffffff),
    isolationLevel: int8().since(4, 0),
    sessionId: int32().since(7, 0), // 0 for no session
    sessionEpoch: int32().since(7, -1), // -1 for no session, 0 for a new one
    topics: array(
      struct({
        topic: string().until(13, ''),
        topicId: uuid().since(13, zeroUuid),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: int32().since(9, -1),
            fetchOffset: offset(),
            lastFetchedEpoch: int32().since(12, -1),
            logStartOffset: offset().since(5, -1),
            partitionMaxBytes: int32(),
            replicaDirectoryId: uuid().tagged(0, 17, zeroUuid),
            highWatermark: offset().tagged(1, 18, Number.MAX_SAFE_INTEGER),
          }),
        ),
      }),
    ),
    forgottenTopicsData: array(
      struct({
        topic: string().until(13, ''),
        topicId: uuid().since(13, zeroUuid),
        partitions: array(int32()),
      }),
    ).since(7, []),
    rackId: string().since(11, ''),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode().since(7, 0),
    sessionId: int32().since(7, 0),
    responses: array(
      struct({
        topic: string().until(13, ''),
        topicId: uuid().since(13, zeroUuid),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: errorCode(),
            highWatermark: offset(),
            lastStableOffset: offset().since(4, -1),
            logStartOffset: offset().since(5, -1),
            divergingEpoch: struct({ epoch: int32(), endOffset: offset() }).tagged(0, 12, noEpoch),
            currentLeader: struct({ leaderId: int32(), leaderEpoch: int32() }).tagged(1, 12, noLeader),
            snapshotId: struct({ endOffset: offset(), epoch: int32() }).tagged(2, 12, noEpoch),
            abortedTransactions: nullable(array(abortedTransaction)).since(4, []), // null for read_uncommitted
            preferredReadReplica: int32().since(11, -1), // -1 for none
            records: nullable(recordSlices()),
          }),
        ),
      }),
    ),
    nodeEndpoints: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: nullable(string()),
      }),
    ).tagged(0, 16, []),
  }),
});
