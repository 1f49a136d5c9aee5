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
      if (error instanceof MetadataError)
        throw new KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, undefined, { cause: error });
      throw error;
    }
  },
});
