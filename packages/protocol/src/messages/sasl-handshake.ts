import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, string, struct } from '../wire/fields.ts';

/**
 * SaslHandshake: choice of the SASL mechanism. After v0 the tokens follow raw, after v1 in SaslAuthenticate
 * (KIP-152).
 */
export const saslHandshake = defineApi({
  key: 17,
  name: 'SaslHandshake',
  versions: [0, 1],
  flexibleFrom: null,
  request: struct({
    mechanism: string(),
  }),
  response: struct({
    errorCode: errorCode(),
    mechanisms: array(string()),
  }),
});
