import { defineApi } from '../wire/define-api.ts';
import {
  array,
  errorCode,
  int16,
  int32,
  int64,
  nullable,
  offset,
  records,
  string,
  struct,
  uuid,
  zeroUuid,
} from '../wire/fields.ts';

const recordError = struct({ batchIndex: int32(), batchIndexErrorMessage: nullable(string()) });
const noLeader = { leaderId: -1, leaderEpoch: -1 };

/**
 * Produce: record batches to append, per topic and partition.
 * v3 adds transactions (KIP-98) and allows only record format v2; v7 zstd (KIP-110); v8 per-record errors (KIP-467);
 * v10 the new leader with an error (KIP-951); v12 adds a partition to its transaction by itself (KIP-890); v13 names
 * topics by id (KIP-516). With acks 0 there is no response at all. Kafka 4 advertises v0-2, for librdkafka's sake,
 * but does not serve them.
 */
export const produce = defineApi({
  key: 0,
  name: 'Produce',
  versions: [0, 13],
  flexibleFrom: 9,
  request: struct({
    transactionalId: nullable(string()).since(3, null),
    acks: int16(), // -1 all, 0 no response, 1 leader
    timeoutMs: int32(),
    topicData: array(
      struct({
        name: string().until(13, ''),
        topicId: uuid().since(13, zeroUuid),
        partitionData: array(struct({ index: int32(), records: nullable(records()) })),
      }),
    ),
  }),
  response: struct({
    responses: array(
      struct({
        name: string().until(13, ''),
        topicId: uuid().since(13, zeroUuid),
        partitionResponses: array(
          struct({
            index: int32(),
            errorCode: errorCode(),
            baseOffset: offset(),
            logAppendTimeMs: int64().since(2, -1n), // -1 unless the topic uses LogAppendTime
            logStartOffset: offset().since(5, -1),
            recordErrors: array(recordError).since(8, []),
            errorMessage: nullable(string()).since(8, null),
            currentLeader: struct({ leaderId: int32(), leaderEpoch: int32() }).tagged(0, 10, noLeader),
          }),
        ),
      }),
    ),
    throttleTimeMs: int32().since(1, 0),
    nodeEndpoints: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: nullable(string()),
      }),
    ).tagged(0, 10, []),
  }),
});
