import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * DescribeConfigs: settings of topics, brokers and others (KIP-133).
 * v1 replaces isDefault by the source, and adds synonyms (KIP-226); v3 types and documentation (KIP-569).
 */
export const describeConfigs = defineApi({
  key: 32,
  name: 'DescribeConfigs',
  versions: [0, 4],
  flexibleFrom: 4,
  request: struct({
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configurationKeys: nullable(array(string())),
      }),
    ),
    includeSynonyms: boolean().since(1, false),
    includeDocumentation: boolean().since(3, false),
  }),
  response: struct({
    throttleTimeMs: int32(),
    results: array(
      struct({
        errorCode: errorCode(),
        errorMessage: nullable(string()),
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            value: nullable(string()),
            readOnly: boolean(),
            isDefault: boolean().until(1, false),
            configSource: int8().since(1, -1),
            isSensitive: boolean(),
            synonyms: array(struct({ name: string(), value: nullable(string()), source: int8() })).since(1, []),
            configType: int8().since(3, 0),
            documentation: nullable(string()).since(3, ''),
          }),
        ),
      }),
    ),
  }),
});
