import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/** CreateAcls: new access rules (KIP-140). v1 adds pattern types (KIP-290), v3 users as resources (KIP-373). */
export const createAcls = defineApi({
  key: 30,
  name: 'CreateAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  request: struct({
    creations: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        resourcePatternType: int8().since(1, 3),
        principal: string(),
        host: string(),
        operation: int8(),
        permissionType: int8(),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32(),
    results: array(struct({ errorCode: errorCode(), errorMessage: nullable(string()) })),
  }),
});
