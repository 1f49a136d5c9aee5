import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * DescribeCluster: id, controller and brokers of the cluster (KIP-700). v1 asks for brokers or controllers (KIP-919),
 * v2 for fenced ones too (KIP-1073).
 */
export const describeCluster = defineApi({
  key: 60,
  name: 'DescribeCluster',
  versions: [0, 2],
  flexibleFrom: 0,
  request: struct({
    includeClusterAuthorizedOperations: boolean(),
    endpointType: int8().since(1, 1), // 1 brokers, 2 controllers
    includeFencedBrokers: boolean().since(2, false),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    endpointType: int8().since(1, 1),
    clusterId: string(),
    controllerId: int32(),
    brokers: array(
      struct({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: nullable(string()),
        isFenced: boolean().since(2, false),
      }),
    ),
    clusterAuthorizedOperations: int32(),
  }),
});
