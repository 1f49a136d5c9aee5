/**
 * InitProducerId v0-5 (KIP-98, KIP-360): a new producer id with epoch 0 for every idempotent producer that asks. Not implemented:
 * transactional ids, which are refused.
 */
import { ErrorCode, initProducerId, KafkaError } from '@kafscale/protocol';
import { MetadataError } from '../metadata/metadata-error.ts';
import { defineHandler } from './define-handler.ts';

export const initProducerIdHandler = defineHandler({
  api: initProducerId,

  fail: (errorCode) => ({ throttleTimeMs: 0, errorCode, producerId: -1n, producerEpoch: -1 }),

  async handle({ transactionalId }, _context, { producerIds }) {
    if (transactionalId === '') throw new KafkaError(ErrorCode.INVALID_REQUEST);
    if (transactionalId !== null) throw new KafkaError(ErrorCode.UNSUPPORTED_VERSION);
    try {
      return { throttleTimeMs: 0, errorCode: ErrorCode.NONE, producerId: await producerIds.next(), producerEpoch: 0 };
    } catch (error) {
      // As Kafka's brokers say it. Any other code sends clients to look for the coordinator of a transactional id that they have not.
      if (error instanceof MetadataError)
        throw new KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, undefined, { cause: error });
      throw error;
    }
  },
});
