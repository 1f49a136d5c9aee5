import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, string, struct } from '../wire/fields.ts';

/** DeleteGroups: removes empty groups with their offsets (KIP-229). */
export const deleteGroups = defineApi({
  key: 42,
  name: 'DeleteGroups',
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    groupsNames: array(string()),
  }),
  response: struct({
    throttleTimeMs: int32(),
    results: array(struct({ groupId: string(), errorCode: errorCode() })),
  }),
});
