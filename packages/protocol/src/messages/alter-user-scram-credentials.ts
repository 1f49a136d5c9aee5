import { defineApi } from '../wire/define-api.ts';
import { array, bytes, errorCode, int32, int8, nullable, string, struct } from '../wire/fields.ts';

/** AlterUserScramCredentials: sets and removes salted passwords of users (KIP-554). */
export const alterUserScramCredentials = defineApi({
  key: 51,
  name: 'AlterUserScramCredentials',
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    deletions: array(struct({ name: string(), mechanism: int8() })),
    upsertions: array(
      struct({
        name: string(),
        mechanism: int8(),
        iterations: int32(),
        salt: bytes(),
        saltedPassword: bytes(),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32(),
    results: array(struct({ user: string(), errorCode: errorCode(), errorMessage: nullable(string()) })),
  }),
});
