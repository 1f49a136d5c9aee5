import { defineApi } from '../wire/define-api.ts';
import { bytes, errorCode, int64, nullable, string, struct } from '../wire/fields.ts';

/** SaslAuthenticate: one token of the SASL exchange (KIP-152). v1 adds the session's lifetime (KIP-368). */
export const saslAuthenticate = defineApi({
  key: 36,
  name: 'SaslAuthenticate',
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    authBytes: bytes(),
  }),
  response: struct({
    errorCode: errorCode(),
    errorMessage: nullable(string()),
    authBytes: bytes(),
    sessionLifetimeMs: int64().since(1, 0n),
  }),
});
