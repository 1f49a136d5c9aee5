import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * DescribeAcls: the access rules that match a filter (KIP-140). v1 adds pattern types (KIP-290), v3 users as
 * resources (KIP-373).
 */
export const describeAcls = defineApi({
  key: 29,
  name: 'DescribeAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  request: struct({
    resourceTypeFilter: int8(),
    resourceNameFilter: nullable(string()),
    patternTypeFilter: int8().since(1, 3),
    principalFilter: nullable(string()),
    hostFilter: nullable(string()),
    operation: int8(),
    permissionType: int8(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        patternType: int8().since(1, 3),
        acls: array(
          struct({
            principal: string(),
            host: string(),
            operation: int8(),
            permissionType: int8(),
          }),
        ),
      }),
    ),
  }),
});
