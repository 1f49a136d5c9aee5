/**
 * SaslHandshake v0-1: the listener takes no authentication, and says so as Kafka does on a plaintext listener.
 */
import { ErrorCode, KafkaError, saslHandshake } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const saslHandshakeHandler = defineHandler({
  api: saslHandshake,
  fail: (errorCode) => ({ errorCode, mechanisms: [] }),
  handle() {
    throw new KafkaError(ErrorCode.ILLEGAL_SASL_STATE);
  },
});
