import { defineApi } from '../wire/define-api.ts';
import { errorCode, int16, int32, int64, nullable, string, struct } from '../wire/fields.ts';

/**
 * InitProducerId: a producer id and epoch for an idempotent or transactional producer (KIP-98).
 * v3 carries the current ones, to bump the epoch (KIP-360); v4 may answer PRODUCER_FENCED, v5 TRANSACTION_ABORTABLE
 * (KIP-890). v6 of Kafka 4.3 (KIP-939) is marked unstable there and left out here.
 */
export const initProducerId = defineApi({
  key: 22,
  name: 'InitProducerId',
  versions: [0, 5],
  flexibleFrom: 2,
  request: struct({
    transactionalId: nullable(string()),
    transactionTimeoutMs: int32(),
    producerId: int64().since(3, -1n),
    producerEpoch: int16().since(3, -1),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode(),
    producerId: int64(),
    producerEpoch: int16(),
  }),
});
