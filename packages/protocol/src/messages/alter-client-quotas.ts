import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, float64, int32, nullable, string, struct } from '../wire/fields.ts';

/** AlterClientQuotas: sets and removes quotas (KIP-546). */
export const alterClientQuotas = defineApi({
  key: 49,
  name: 'AlterClientQuotas',
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({
    entries: array(
      struct({
        entity: array(struct({ entityType: string(), entityName: nullable(string()) })),
        ops: array(struct({ key: string(), value: float64(), remove: boolean() })),
      }),
    ),
    validateOnly: boolean(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    entries: array(
      struct({
        errorCode: errorCode(),
        errorMessage: nullable(string()),
        entity: array(struct({ entityType: string(), entityName: nullable(string()) })),
      }),
    ),
  }),
});
