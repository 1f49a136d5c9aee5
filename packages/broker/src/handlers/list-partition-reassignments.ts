/** ListPartitionReassignments v0: no partition ever is on its way, since no data moves with it. */
import { ErrorCode, KafkaError, listPartitionReassignments } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const listPartitionReassignmentsHandler = defineHandler({
  api: listPartitionReassignments,
  fail: (code) => ({ throttleTimeMs: 0, errorCode: code, errorMessage: new KafkaError(code).message, topics: [] }),
  handle: () => ({ throttleTimeMs: 0, errorCode: ErrorCode.NONE, errorMessage: null, topics: [] }),
});
