import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, nullable, string, struct, uuid } from '../wire/fields.ts';

/** DescribeTopicPartitions: topics partition by partition, in pages (KIP-966). A null next cursor ends them. */
export const describeTopicPartitions = defineApi({
  key: 75,
  name: 'DescribeTopicPartitions',
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    topics: array(struct({ name: string() })),
    responsePartitionLimit: int32(),
    cursor: nullable(struct({ topicName: string(), partitionIndex: int32() })),
  }),
  response: struct({
    throttleTimeMs: int32(),
    topics: array(
      struct({
        errorCode: errorCode(),
        name: nullable(string()),
        topicId: uuid(),
        isInternal: boolean(),
        partitions: array(
          struct({
            errorCode: errorCode(),
            partitionIndex: int32(),
            leaderId: int32(),
            leaderEpoch: int32(),
            replicaNodes: array(int32()),
            isrNodes: array(int32()),
            eligibleLeaderReplicas: nullable(array(int32())),
            lastKnownElr: nullable(array(int32())),
            offlineReplicas: array(int32()),
          }),
        ),
        topicAuthorizedOperations: int32(),
      }),
    ),
    nextCursor: nullable(struct({ topicName: string(), partitionIndex: int32() })),
  }),
});
