import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, float64, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/** DescribeClientQuotas: the quotas that match a filter (KIP-546). */
export const describeClientQuotas = defineApi({
  key: 48,
  name: 'DescribeClientQuotas',
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({
    components: array(
      struct({
        entityType: string(),
        matchType: int8(), // 0 exact name, 1 default, 2 any name
        match: nullable(string()),
      }),
    ),
    strict: boolean(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    entries: nullable(
      array(
        struct({
          entity: array(struct({ entityType: string(), entityName: nullable(string()) })),
          values: array(struct({ key: string(), value: float64() })),
        }),
      ),
    ),
  }),
});
