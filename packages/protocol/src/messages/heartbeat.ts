import { defineApi } from '../wire/define-api.ts';
import { errorCode, int32, nullable, string, struct } from '../wire/fields.ts';

/** Heartbeat: a member shows it is alive. groupInstanceId since v3 (KIP-345), flexible since v4 (KIP-482). */
export const heartbeat = defineApi({
  key: 12,
  name: 'Heartbeat',
  versions: [0, 4],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: nullable(string()).since(3, null), // null for dynamic members
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode(),
  }),
});
