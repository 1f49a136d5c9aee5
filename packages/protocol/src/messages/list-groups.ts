import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, string, struct } from '../wire/fields.ts';

/** ListGroups: the groups a broker coordinates. v4 filters by state (KIP-518), v5 by type (KIP-848). */
export const listGroups = defineApi({
  key: 16,
  name: 'ListGroups',
  versions: [0, 5],
  flexibleFrom: 3,
  request: struct({
    statesFilter: array(string()).since(4, []),
    typesFilter: array(string()).since(5, []),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    errorCode: errorCode(),
    groups: array(
      struct({
        groupId: string(),
        protocolType: string(),
        groupState: string().since(4, ''),
        groupType: string().since(5, ''),
      }),
    ),
  }),
});
