import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * FindCoordinator: the broker that coordinates a group or a transactional id.
 * v1 adds the kind of key (0 group, 1 transaction; 2 share since v6, KIP-932). v4 asks for many keys at once
 * (KIP-699), so the single key's fields are gone from there on. v5 lets TRANSACTION_ABORTABLE be answered (KIP-890).
 */
export const findCoordinator = defineApi({
  key: 10,
  name: 'FindCoordinator',
  versions: [0, 6],
  flexibleFrom: 3,
  request: struct({
    key: string().until(4, ''),
    keyType: int8().since(1, 0), // 0 group, 1 transaction, 2 share
    coordinatorKeys: array(string()).since(4, []),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode().until(4, 0),
    errorMessage: nullable(string()).between(1, 4, ''),
    nodeId: int32().until(4, 0),
    host: string().until(4, ''),
    port: int32().until(4, 0),
    coordinators: array(
      struct({
        key: string(),
        nodeId: int32(),
        host: string(),
        port: int32(),
        errorCode: errorCode(),
        errorMessage: nullable(string()),
      }),
    ).since(4, []),
  }),
});
