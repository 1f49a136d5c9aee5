/** SaslAuthenticate v0-2: there is nothing to authenticate for on a plaintext listener. */
import { describeError, ErrorCode, KafkaError, saslAuthenticate } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

const noBytes = Buffer.alloc(0);

export const saslAuthenticateHandler = defineHandler({
  api: saslAuthenticate,
  fail: (errorCode) => ({
    errorCode,
    errorMessage: describeError(errorCode).message,
    authBytes: noBytes,
    sessionLifetimeMs: 0n,
  }),
  handle() {
    throw new KafkaError(ErrorCode.ILLEGAL_SASL_STATE);
  },
});
