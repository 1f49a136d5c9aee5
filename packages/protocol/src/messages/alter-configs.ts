import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * AlterConfigs: replaces all settings of a resource (KIP-133). IncrementalAlterConfigs does it setting by setting.
 */
export const alterConfigs = defineApi({
  key: 33,
  name: 'AlterConfigs',
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configs: array(struct({ name: string(), value: nullable(string()) })),
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
