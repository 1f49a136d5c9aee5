import { defineApi } from '../wire/define-api.ts';
import {
  array,
  boolean,
  errorCode,
  int32,
  nullable,
  nullableSince,
  string,
  struct,
  uuid,
  zeroUuid,
} from '../wire/fields.ts';

/**
 * Metadata: brokers, and leaders of the partitions of topics.
 * No topics asked for means all of them in v0; from v1 on null means all and an empty list none. v4 lets the client
 * refuse auto-creation; v8 adds authorized operations (KIP-430), which move to DescribeCluster for the cluster in
 * v11; v10 topic ids (KIP-516), by which v12 can ask; v13 an error for the whole request (KIP-1102). Not named
 * `metadata`, which is the namespace of the stored values.
 */
export const metadataApi = defineApi({
  key: 3,
  name: 'Metadata',
  versions: [0, 13],
  flexibleFrom: 9,
  request: struct({
    topics: nullableSince(1, array(struct({ topicId: uuid().since(10, zeroUuid), name: nullableSince(10, string()) }))),
    allowAutoTopicCreation: boolean().since(4, true),
    includeClusterAuthorizedOperations: boolean().between(8, 11, false),
    includeTopicAuthorizedOperations: boolean().since(8, false),
  }),
  response: struct({
    throttleTimeMs: int32().since(3, 0),
    brokers: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: nullable(string()).since(1, null),
      }),
    ),
    clusterId: nullable(string()).since(2, null),
    controllerId: int32().since(1, -1),
    topics: array(
      struct({
        errorCode: errorCode(),
        name: nullableSince(12, string()),
        topicId: uuid().since(10, zeroUuid),
        isInternal: boolean().since(1, false),
        partitions: array(
          struct({
            errorCode: errorCode(),
            partitionIndex: int32(),
            leaderId: int32(),
            leaderEpoch: int32().since(7, -1),
            replicaNodes: array(int32()),
            isrNodes: array(int32()),
            offlineReplicas: array(int32()).since(5, []),
          }),
        ),
        topicAuthorizedOperations: int32().since(8, -0x80000000),
      }),
    ),
    clusterAuthorizedOperations: int32().between(8, 11, -0x80000000), // lowest int32: not asked for
    errorCode: errorCode().since(13, 0),
  }),
});
