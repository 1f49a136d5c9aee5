import { defineApi } from '../wire/define-api.ts';
import {
  array,
  boolean,
  errorCode,
  int16,
  int32,
  int8,
  nullable,
  string,
  struct,
  uuid,
  zeroUuid,
} from '../wire/fields.ts';

/**
 * CreateTopics: new topics.
 * v1 adds validateOnly; v4 lets the broker choose the number of partitions and replicas by -1 (KIP-464); v5 answers
 * the configuration (KIP-525); v6 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599); v7 answers the topic id (KIP-516).
 */
export const createTopics = defineApi({
  key: 19,
  name: 'CreateTopics',
  versions: [0, 7],
  flexibleFrom: 5,
  request: struct({
    topics: array(
      struct({
        name: string(),
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: array(struct({ partitionIndex: int32(), brokerIds: array(int32()) })),
        configs: array(struct({ name: string(), value: nullable(string()) })),
      }),
    ),
    timeoutMs: int32(),
    validateOnly: boolean().since(1, false),
  }),
  response: struct({
    throttleTimeMs: int32().since(2, 0),
    topics: array(
      struct({
        name: string(),
        topicId: uuid().since(7, zeroUuid),
        errorCode: errorCode(),
        errorMessage: nullable(string()).since(1, ''),
        topicConfigErrorCode: errorCode().tagged(0, 5, 0),
        numPartitions: int32().since(5, -1),
        replicationFactor: int16().since(5, -1),
        configs: nullable(
          array(
            struct({
              name: string(),
              value: nullable(string()),
              readOnly: boolean(),
              configSource: int8(),
              isSensitive: boolean(),
            }),
          ),
        ).since(5, []),
      }),
    ),
  }),
});
