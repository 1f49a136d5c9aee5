import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * DeleteAcls: removes the access rules that match filters (KIP-140). v1 adds pattern types (KIP-290), v3 users as
 * resources (KIP-373).
 */
export const deleteAcls = defineApi({
  key: 31,
  name: 'DeleteAcls',
  versions: [0, 3],
  flexibleFrom: 2,
  request: struct({
    filters: array(
      struct({
        resourceTypeFilter: int8(),
        resourceNameFilter: nullable(string()),
        patternTypeFilter: int8().since(1, 3),
        principalFilter: nullable(string()),
        hostFilter: nullable(string()),
        operation: int8(),
        permissionType: int8(),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32(),
    filterResults: array(
      struct({
        errorCode: errorCode(),
        errorMessage: nullable(string()),
        matchingAcls: array(
          struct({
            errorCode: errorCode(),
            errorMessage: nullable(string()),
            resourceType: int8(),
            resourceName: string(),
            patternType: int8().since(1, 3),
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
