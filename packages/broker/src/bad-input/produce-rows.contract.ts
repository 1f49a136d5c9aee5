/** Batches and requests that Produce refuses, and what it takes although it looks odd. */
import { crc32c, ErrorCode, initProducerId, produce } from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { batch, produceRequest, produceTo } from '../broker-fixture.ts';
import { known, changed, type Row } from './row.contract.ts';

const produced = async (client: RawClient, records: Buffer | null, version = 9): Promise<number> =>
  (await produceTo(client, known, 0, records, version)).errorCode;

export const produceRows: readonly Row[] = [
  [
    'acks of 2',
    async (client) => {
      const { responses } = await client.request(produce, 9, produceRequest(known, 0, batch(['a']), { acks: 2 }));
      return responses[0]!.partitionResponses[0]!.errorCode;
    },
    ErrorCode.INVALID_REQUIRED_ACKS,
  ],
  [
    'an unknown topic',
    async (client) => (await produceTo(client, 'unknown', 0, batch(['a']))).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a partition above the last',
    async (client) => (await produceTo(client, known, 99, batch(['a']))).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a negative partition',
    async (client) => (await produceTo(client, known, -1, batch(['a']))).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'partition 2^31 - 1',
    async (client) => (await produceTo(client, known, 0x7fff_ffff, batch(['a']))).errorCode,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a topic id that does not exist',
    async (client) => {
      const request = produceRequest('', 0, batch(['a']), { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ' });
      return (await client.request(produce, 13, request)).responses[0]!.partitionResponses[0]!.errorCode;
    },
    ErrorCode.UNKNOWN_TOPIC_ID,
  ],
  [
    'a batch above max.message.bytes',
    (client) => produced(client, batch(['x'.repeat(1_100_000)])),
    ErrorCode.MESSAGE_TOO_LARGE,
  ],
  ['a wrong CRC', (client) => produced(client, changed(batch(['a']), 17, 1, 2, 3, 4)), ErrorCode.CORRUPT_MESSAGE],
  ['a batch cut short', (client) => produced(client, batch(['abc']).subarray(0, 50)), ErrorCode.INVALID_RECORD],
  [
    'a batch length of 0',
    (client) => produced(client, changed(batch(['a']), 8, 0, 0, 0, 0)),
    ErrorCode.CORRUPT_MESSAGE,
  ],
  [
    'a negative batch length',
    (client) => produced(client, changed(batch(['a']), 8, 0xff, 0xff, 0xff, 0xff)),
    ErrorCode.CORRUPT_MESSAGE,
  ],
  ['two batches', (client) => produced(client, Buffer.concat([batch(['a']), batch(['b'])])), ErrorCode.INVALID_RECORD],
  ['magic 1', (client) => produced(client, changed(batch(['a']), 16, 1)), ErrorCode.INVALID_RECORD],
  ['no records at all', (client) => produced(client, Buffer.alloc(0)), ErrorCode.INVALID_RECORD],
  ['null records', (client) => produced(client, null), ErrorCode.INVALID_RECORD],
  ['a batch without records', (client) => produced(client, batch([])), ErrorCode.INVALID_RECORD],
  [
    'a last offset delta that is not the count',
    (client) => produced(client, batch(['a', 'b'], { lastOffsetDelta: 7 })),
    ErrorCode.INVALID_RECORD,
  ],
  [
    'a negative last offset delta',
    (client) => produced(client, batch(['a'], { lastOffsetDelta: -100 })),
    ErrorCode.INVALID_RECORD,
  ],
  ['a base offset', (client) => produced(client, batch(['a'], { baseOffset: 5 })), ErrorCode.INVALID_RECORD],
  ['a control batch', (client) => produced(client, batch(['a'], { isControl: true })), ErrorCode.INVALID_RECORD],
  [
    'a producer with a negative sequence',
    (client) => produced(client, batch(['a'], { producerId: 7n, producerEpoch: 0, baseSequence: -5 })),
    ErrorCode.INVALID_RECORD,
  ],
  [
    'zstd before version 7',
    (client) => produced(client, batch(['a'], { codec: 'zstd' }), 6),
    ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
  ],
  ['a codec that does not exist', (client) => produced(client, withCodec(5)), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE],
  [
    'a timestamp two hours ahead',
    (client) => produced(client, batch([], { records: [{ value: 'a', timestamp: Date.now() + 7_200_000 }] })),
    ErrorCode.INVALID_TIMESTAMP,
  ],
  [
    'a sequence behind a gap',
    async (client) => {
      const id = await producerId(client);
      await produced(client, batch(['a'], { producerId: id, producerEpoch: 0, baseSequence: 0 }));
      return produced(client, batch(['b'], { producerId: id, producerEpoch: 0, baseSequence: 5 }));
    },
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ],
  [
    'an older epoch of a producer',
    async (client) => {
      const id = await producerId(client);
      await produced(client, batch(['a'], { producerId: id, producerEpoch: 3, baseSequence: 0 }));
      return produced(client, batch(['b'], { producerId: id, producerEpoch: 2, baseSequence: 1 }));
    },
    ErrorCode.INVALID_PRODUCER_EPOCH,
  ],
  [
    'the same batch twice, which is answered with the first offset',
    async (client) => {
      const id = await producerId(client);
      const same = batch(['a'], { producerId: id, producerEpoch: 0, baseSequence: 0 });
      const first = await produceTo(client, known, 0, Buffer.from(same));
      await produced(client, batch(['other']));
      const again = await produceTo(client, known, 0, Buffer.from(same));
      return [again.errorCode, again.baseOffset === first.baseOffset];
    },
    [ErrorCode.NONE, true],
  ],
  [
    'one bad partition among good ones',
    async (client) => {
      const request = produceRequest(known, 0, null);
      const partitionData = [
        { index: 0, records: batch(['good']) },
        { index: 1, records: changed(batch(['bad']), 17, 9, 9, 9, 9) },
        { index: 77, records: batch(['nowhere']) },
        { index: 2, records: batch(['good']) },
      ];
      const topicData = [{ ...request.topicData[0]!, partitionData }];
      const { responses } = await client.request(produce, 9, { ...request, topicData });
      return responses[0]!.partitionResponses.map(({ errorCode }) => errorCode);
    },
    [ErrorCode.NONE, ErrorCode.CORRUPT_MESSAGE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE],
  ],
];

/** A codec number in the attributes of a batch whose CRC is right. */
function withCodec(codec: number): Buffer {
  const bytes = batch(['a']);
  bytes.writeInt16BE(codec, 21);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
  return bytes;
}

async function producerId(client: RawClient): Promise<bigint> {
  const request = { transactionalId: null, transactionTimeoutMs: 1_000, producerId: -1n, producerEpoch: -1 };
  return (await client.request(initProducerId, 4, request)).producerId;
}
