import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/** IncrementalAlterConfigs: changes single settings of resources (KIP-339). */
export const incrementalAlterConfigs = defineApi({
  key: 44,
  name: 'IncrementalAlterConfigs',
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            configOperation: int8(), // 0 set, 1 delete, 2 append, 3 subtract
            value: nullable(string()),
          }),
        ),
      }),
    ),
    validateOnly: boolean(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    responses: array(
      struct({
        errorCode: errorCode(),
        errorMessage: nullable(string()),
        resourceType: int8(),
        resourceName: string(),
      }),
    ),
  }),
});
