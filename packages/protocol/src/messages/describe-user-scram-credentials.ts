import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/**
 * DescribeUserScramCredentials: which SCRAM mechanisms users have, never their secrets (KIP-554). Null users mean
 * all.
 */
export const describeUserScramCredentials = defineApi({
  key: 50,
  name: 'DescribeUserScramCredentials',
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    users: nullable(array(struct({ name: string() }))),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    results: array(
      struct({
        user: string(),
        errorCode: errorCode(),
        errorMessage: nullable(string()),
        credentialInfos: array(struct({ mechanism: int8(), iterations: int32() })),
      }),
    ),
  }),
});
