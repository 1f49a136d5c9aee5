/** What a producer can count on, and what it is told, from the bytes of its requests to the bytes of the answers. */
import { jest } from '@jest/globals';
import {
  createTopics,
  describeError,
  encodeRecordBatch,
  ErrorCode,
  incrementalAlterConfigs,
  initProducerId,
  metadataApi,
  produce,
  readRecords,
  RecordBatchView,
  zeroUuid,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import type { RunningBroker } from './broker.ts';
import {
  batch,
  batchesOf,
  BrokerFixture,
  createTopic,
  fetchFrom,
  produceRequest,
  produceTo,
  produceVersion,
  readAll,
} from './broker-fixture.ts';

jest.setTimeout(30_000);

const lastProduceVersion = produce.versions[1];

describe('Produce, to the whole broker', () => {
  const fixture = new BrokerFixture();
  let broker: RunningBroker;
  let client: RawClient;

  beforeAll(async () => {
    broker = await fixture.start();
    client = await fixture.connect(broker);
    await createTopic(client, 'plain', 3);
  });

  afterAll(() => fixture.closeAll());

  const ends = async (topic: string, partition = 0): Promise<number> => {
    return (await fetchFrom(client, topic, partition, { offset: 0 })).highWatermark;
  };

  it.each([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])('stores a batch sent at version %i', async (version) => {
    const name = `at-version-${version}`;
    const topicId = await createTopic(client, name);
    const { responses } = await client.request(
      produce,
      version,
      produceRequest(name, 0, batch(['a', 'b']), { topicId: version >= 13 ? topicId : zeroUuid }),
    );
    const { errorCode, baseOffset, logAppendTimeMs, logStartOffset } = responses[0]!.partitionResponses[0]!;
    expect({ errorCode, baseOffset, logAppendTimeMs }).toEqual({ errorCode: 0, baseOffset: 0, logAppendTimeMs: -1n });
    expect(logStartOffset).toBe(version >= 5 ? 0 : -1);
    expect(await ends(name)).toBe(2);
  });

  it.each([0, 1, 2])('ends the connection at version %i, which carries older formats', async (version) => {
    const own = await fixture.connect(broker);
    own.send(produce, version, produceRequest('plain', 0, batch(['old'])));
    await own.closed;
    expect(await ends('plain')).toBe(0);
  });

  it.each([1, -1])('answers acks %i once the records can be read', async (acks) => {
    const name = `acks-${acks}`;
    await createTopic(client, name);
    await client.request(produce, produceVersion, produceRequest(name, 0, batch(['x']), { acks }));
    expect(await ends(name)).toBe(1);
  });

  it('answers nothing to acks 0 and stores the records', async () => {
    const own = await fixture.connect(broker);
    await createTopic(client, 'unacknowledged');
    own.send(produce, produceVersion, produceRequest('unacknowledged', 0, batch(['x']), { acks: 0 }));
    // The next answer on this connection is the next request's.
    const { baseOffset } = await produceTo(own, 'unacknowledged', 0, batch(['y']));
    expect(baseOffset).toBe(1);
  });

  it('ends the connection when a request with acks 0 fails', async () => {
    const own = await fixture.connect(broker);
    own.send(produce, produceVersion, produceRequest('nowhere', 0, batch(['x']), { acks: 0 }));
    await own.closed;
  });

  it.each([2, -2, 32_767])('refuses acks %i for every partition', async (acks) => {
    const { responses } = await client.request(produce, 9, produceRequest('plain', 0, batch(['x']), { acks }));
    expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.INVALID_REQUIRED_ACKS);
  });

  it('gives every partition of several topics its own answer, in the order of the request', async () => {
    await createTopic(client, 'first', 2);
    await createTopic(client, 'second');
    const { responses } = await client.request(produce, 9, {
      ...produceRequest('', 0, null),
      topicData: [
        {
          name: 'second',
          topicId: zeroUuid,
          partitionData: [
            { index: 0, records: batch(['a']) },
            { index: 7, records: batch(['a']) },
          ],
        },
        {
          name: 'first',
          topicId: zeroUuid,
          partitionData: [
            { index: 1, records: corrupted(batch(['b'])) },
            { index: 0, records: batch(['c', 'd', 'e']) },
            { index: -1, records: batch(['c']) },
          ],
        },
        { name: 'third', topicId: zeroUuid, partitionData: [{ index: 0, records: batch(['f']) }] },
      ],
    });
    const told = responses.map(({ name, partitionResponses }) => ({
      name,
      partitions: partitionResponses.map(({ index, errorCode, baseOffset }) => [index, errorCode, baseOffset]),
    }));
    const { NONE, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION } = ErrorCode;
    expect(told).toEqual([
      {
        name: 'second',
        partitions: [
          [0, NONE, 0],
          [7, UNKNOWN_TOPIC_OR_PARTITION, -1],
        ],
      },
      {
        name: 'first',
        partitions: [
          [1, CORRUPT_MESSAGE, -1],
          [0, NONE, 0],
          [-1, UNKNOWN_TOPIC_OR_PARTITION, -1],
        ],
      },
      { name: 'third', partitions: [[0, UNKNOWN_TOPIC_OR_PARTITION, -1]] },
    ]);
    expect([await ends('first', 0), await ends('first', 1), await ends('second')]).toEqual([3, 0, 1]);
  });

  it('appends what one request sends twice to a partition in its order', async () => {
    await createTopic(client, 'twice');
    const { responses } = await client.request(produce, 9, {
      ...produceRequest('', 0, null),
      topicData: [
        {
          name: 'twice',
          topicId: zeroUuid,
          partitionData: [
            { index: 0, records: batch(['a', 'b']) },
            { index: 0, records: batch(['c']) },
          ],
        },
      ],
    });
    expect(responses[0]!.partitionResponses.map(({ baseOffset }) => baseOffset)).toEqual([0, 2]);
  });

  it.each([
    ['no batch at all', null, 9, ErrorCode.INVALID_RECORD],
    ['no bytes', Buffer.alloc(0), 9, ErrorCode.INVALID_RECORD],
    ['a batch that is cut off', batch(['abc']).subarray(0, 60), 9, ErrorCode.INVALID_RECORD],
    ['two batches', Buffer.concat([batch(['a']), batch(['b'])]), 9, ErrorCode.INVALID_RECORD],
    ['a wrong checksum', corrupted(batch(['abc'])), 9, ErrorCode.CORRUPT_MESSAGE],
    ['a base offset', encodeRecordBatch({ records: [{ value: 'a' }], baseOffset: 5 }), 9, ErrorCode.INVALID_RECORD],
    [
      'a negative last offset delta',
      encodeRecordBatch({ records: [{ value: 'a' }], lastOffsetDelta: -1_000 }),
      9,
      ErrorCode.INVALID_RECORD,
    ],
    [
      'a last offset delta beyond the records',
      encodeRecordBatch({ records: [{ value: 'a' }], lastOffsetDelta: 1_000 }),
      9,
      ErrorCode.INVALID_RECORD,
    ],
    ['no records', encodeRecordBatch({ records: [], lastOffsetDelta: -1 }), 9, ErrorCode.INVALID_RECORD],
    ['a control batch', encodeRecordBatch({ records: [{ value: 'a' }], isControl: true }), 9, ErrorCode.INVALID_RECORD],
    [
      'a producer id without a sequence',
      encodeRecordBatch({ records: [{ value: 'a' }], producerId: 4n, producerEpoch: 0, baseSequence: -1 }),
      9,
      ErrorCode.INVALID_RECORD,
    ],
    ['magic 0', withMagic(0), 3, ErrorCode.INVALID_RECORD],
    ['magic 1', withMagic(1), 3, ErrorCode.INVALID_RECORD],
    ['magic 3', withMagic(3), 9, ErrorCode.CORRUPT_MESSAGE],
    ['zstd before version 7', batch(['a'], { codec: 'zstd' }), 6, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE],
    ['an unknown codec', withCodec(6), 9, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE],
    ['a batch beyond the largest', batch(['x'.repeat(1_100_000)]), 9, ErrorCode.MESSAGE_TOO_LARGE],
    [
      'a timestamp two hours ahead',
      encodeRecordBatch({ records: [{ value: 'a', timestamp: Date.now() + 7_200_000 }] }),
      9,
      ErrorCode.INVALID_TIMESTAMP,
    ],
  ])('refuses %s and stores nothing', async (_what, records, version, expected) => {
    const before = await ends('plain', 1);
    const { errorCode, baseOffset } = await produceTo(client, 'plain', 1, records, version);
    expect({ errorCode, baseOffset }).toEqual({ errorCode: expected, baseOffset: -1 });
    expect(await ends('plain', 1)).toBe(before);
  });

  it('refuses records without a key on a compacted topic and names them', async () => {
    await createTopic(client, 'compacted', 1, { 'cleanup.policy': 'compact' });
    const records = encodeRecordBatch({ records: [{ key: 'k', value: 'a' }, { value: 'b' }, { value: 'c' }] });
    const refused = await produceTo(client, 'compacted', 0, records);
    expect(refused.errorCode).toBe(ErrorCode.INVALID_RECORD);
    expect(refused.recordErrors.map(({ batchIndex }) => batchIndex)).toEqual([1, 2]);
    expect(refused.errorMessage).not.toBeNull();
    expect((await produceTo(client, 'compacted', 0, batch(['kept']))).errorCode).toBe(0);
  });

  it('refuses a batch above max.message.bytes, also after that was lowered', async () => {
    await createTopic(client, 'bounded', 1, { 'max.message.bytes': '2000' });
    expect((await produceTo(client, 'bounded', 0, batch(['x'.repeat(1_500)]))).errorCode).toBe(0);
    await client.request(incrementalAlterConfigs, 1, {
      resources: [
        {
          resourceType: 2,
          resourceName: 'bounded',
          configs: [{ name: 'max.message.bytes', configOperation: 0, value: '1000' }],
        },
      ],
      validateOnly: false,
    });
    const tooLarge = await produceTo(client, 'bounded', 0, batch(['x'.repeat(1_500)]));
    expect(tooLarge.errorCode).toBe(ErrorCode.MESSAGE_TOO_LARGE);
  });

  it('dates records on arrival where the topic asks for it', async () => {
    await createTopic(client, 'dated', 1, { 'message.timestamp.type': 'LogAppendTime' });
    const before = Date.now();
    const { logAppendTimeMs } = await produceTo(
      client,
      'dated',
      0,
      encodeRecordBatch({ records: [{ value: 'a', timestamp: 5 }, { value: 'b' }] }),
    );
    expect(Number(logAppendTimeMs)).toBeGreaterThanOrEqual(before);
    const [stored] = batchesOf(await fetchFrom(client, 'dated', 0, { offset: 0 }));
    expect(stored!.timestampType).toBe('LogAppendTime');
    expect(stored!.maxTimestamp).toBe(Number(logAppendTimeMs));
    expect(stored!.crc).toBe(stored!.computeCrc());
  });

  it('corrects a max timestamp that its records belie', async () => {
    await createTopic(client, 'belied');
    const timestamp = Date.now() - 1_000;
    await produceTo(
      client,
      'belied',
      0,
      encodeRecordBatch({ records: [{ value: 'a', timestamp }], maxTimestamp: timestamp + 100 }),
    );
    const [stored] = batchesOf(await fetchFrom(client, 'belied', 0, { offset: 0 }));
    expect(stored!.maxTimestamp).toBe(timestamp);
    expect(stored!.crc).toBe(stored!.computeCrc());
  });

  it('answers pipelined requests in their order with offsets one behind the other', async () => {
    await createTopic(client, 'pipelined');
    const counts = [3, 1, 4, 1, 5];
    const answers = await Promise.all(
      counts.map((count) => produceTo(client, 'pipelined', 0, batch(Array.from({ length: count }, String)))),
    );
    expect(answers.map(({ baseOffset }) => baseOffset)).toEqual([0, 3, 4, 8, 9]);
  });

  it('keeps the batches of many connections whole and apart', async () => {
    await createTopic(client, 'shared');
    const clients = await Promise.all(Array.from({ length: 8 }, () => fixture.connect(broker)));
    const acknowledged = new Map<number, string>();
    await Promise.all(
      clients.map(async (own, number) => {
        for (let round = 0; round < 10; round += 1) {
          const value = `${number}-${round}`;
          const { errorCode, baseOffset } = await produceTo(own, 'shared', 0, batch([value, `${value}'`]));
          expect(errorCode).toBe(0);
          acknowledged.set(baseOffset, value);
        }
      }),
    );
    const bytes = await readAll(client, 'shared', 0);
    const found = new Map<number, string>();
    for (let start = 0; start < bytes.length;) {
      const view = new RecordBatchView(bytes, start);
      const [record] = readRecords(view, 1_000);
      found.set(view.baseOffset, record!.value!.toString());
      start = view.end;
    }
    expect(found).toEqual(acknowledged);
  });

  describe('with topic ids', () => {
    it('answers UNKNOWN_TOPIC_ID for an id of no topic', async () => {
      const { responses } = await client.request(
        produce,
        lastProduceVersion,
        produceRequest('', 0, batch(['a']), { topicId: 'abcdefghijklmnopqrstug' }),
      );
      expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_ID);
    });

    it('answers UNKNOWN_TOPIC_OR_PARTITION for a partition that the topic lacks', async () => {
      const topicId = await createTopic(client, 'by-id');
      const { responses } = await client.request(
        produce,
        lastProduceVersion,
        produceRequest('', 5, batch(['a']), { topicId }),
      );
      expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    });
  });

  describe('from an idempotent producer', () => {
    const newProducer = async (): Promise<bigint> => {
      const answer = await client.request(initProducerId, 4, {
        transactionalId: null,
        transactionTimeoutMs: 60_000,
        producerId: -1n,
        producerEpoch: -1,
      });
      expect({ errorCode: answer.errorCode, producerEpoch: answer.producerEpoch }).toEqual({
        errorCode: 0,
        producerEpoch: 0,
      });
      return answer.producerId;
    };
    const sequenced = (producerId: bigint, baseSequence: number, count = 1, producerEpoch = 0) =>
      batch(
        Array.from({ length: count }, (_, index) => `${baseSequence + index}`),
        { producerId, producerEpoch, baseSequence },
      );
    let topic: string;
    let topics = 0;

    beforeEach(async () => {
      topics += 1;
      topic = `idempotent-${topics}`;
      await createTopic(client, topic);
    });

    const send = async (records: Buffer) => {
      const { errorCode, baseOffset } = await produceTo(client, topic, 0, records);
      return errorCode === 0 ? baseOffset : describeError(errorCode).name;
    };

    it('gives every producer an id of its own', async () => {
      const ids = await Promise.all(Array.from({ length: 20 }, () => newProducer()));
      expect(new Set(ids).size).toBe(20);
    });

    it('answers a batch that comes again with its first offset, and stores it once', async () => {
      const id = await newProducer();
      expect(await send(sequenced(id, 0, 3))).toBe(0);
      expect(await send(sequenced(id, 3, 2))).toBe(3);
      expect(await send(sequenced(id, 0, 3))).toBe(0);
      expect(await send(sequenced(id, 3, 2))).toBe(3);
      expect(await ends(topic)).toBe(5);
    });

    it('stores a batch once that is sent twice before the first answer', async () => {
      const id = await newProducer();
      expect(await Promise.all([send(sequenced(id, 0)), send(sequenced(id, 0)), send(sequenced(id, 1))])).toEqual([
        0, 0, 1,
      ]);
      expect(await ends(topic)).toBe(2);
    });

    it('refuses a gap, and goes on where it stopped', async () => {
      const id = await newProducer();
      expect(await send(sequenced(id, 0))).toBe(0);
      expect(await send(sequenced(id, 2))).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER');
      expect(await send(sequenced(id, 1))).toBe(1);
      expect(await send(sequenced(id, 2))).toBe(2);
    });

    it('remembers the last five batches and refuses what is older', async () => {
      const id = await newProducer();
      for (let sequence = 0; sequence < 6; sequence += 1) await send(sequenced(id, sequence));
      expect(await send(sequenced(id, 1))).toBe(1);
      expect(await send(sequenced(id, 0))).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER');
    });

    it('lets sequences begin again behind the largest', async () => {
      const id = await newProducer();
      const last = 2 ** 31 - 1;
      expect(await send(sequenced(id, last - 1, 4))).toBe(0); // -1, max, 0, 1
      expect(await send(sequenced(id, 2))).toBe(4);
      expect(await send(sequenced(id, last - 1, 4))).toBe(0);
    });

    it('takes a higher epoch from 0 on, and no lower one after it', async () => {
      const id = await newProducer();
      expect(await send(sequenced(id, 0, 2))).toBe(0);
      expect(await send(sequenced(id, 2, 1, 1))).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER');
      expect(await send(sequenced(id, 0, 1, 1))).toBe(2);
      expect(await send(sequenced(id, 2, 1, 0))).toBe('INVALID_PRODUCER_EPOCH');
    });

    it('answers retries after a restart from what the store remembers', async () => {
      const dataDir = await fixture.folder();
      const first = await fixture.start({ dataDir });
      client = await fixture.connect(first);
      await createTopic(client, topic);
      const id = await newProducer();
      await send(sequenced(id, 0, 3));
      await send(sequenced(id, 3, 2));
      await first.close();

      const second = await fixture.start({ dataDir });
      client = await fixture.connect(second);
      expect(await newProducer()).not.toBe(id);
      expect(await send(sequenced(id, 0, 3))).toBe(0);
      expect(await send(sequenced(id, 3, 2))).toBe(3);
      expect(await send(sequenced(id, 6, 1))).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER');
      expect(await send(sequenced(id, 5, 1))).toBe(5);
      client = await fixture.connect(broker);
    });
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'serves a topic called %s like any other',
    async (name) => {
      const { topics } = await client.request(metadataApi, 9, {
        topics: [{ name, topicId: zeroUuid }],
        allowAutoTopicCreation: true,
        includeClusterAuthorizedOperations: false,
        includeTopicAuthorizedOperations: false,
      });
      expect(topics.map((topic) => [topic.name, topic.partitions.length])).toEqual([[name, 1]]);
      const { baseOffset } = await produceTo(client, name, 0, batch(['x']));
      expect(baseOffset).toBe(0);
      expect(await ends(name)).toBe(1);
    },
  );

  it.each([
    ['nothing', ''],
    ['.', '.'],
    ['..', '..'],
    ['../x', '../x'],
    ['a/b', 'a/b'],
    ['by a name with a NUL', 'nul\0'],
    ['ü', 'ü'],
    ['by 250 letters', 'x'.repeat(250)],
  ])('refuses to create a topic called %s', async (_what, name) => {
    const { topics } = await client.request(createTopics, 7, {
      topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 1_000,
      validateOnly: false,
    });
    expect(topics[0]!.errorCode).toBe(ErrorCode.INVALID_TOPIC_EXCEPTION);
    expect((await produceTo(client, name, 0, batch(['x']))).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
  });
});

function corrupted(records: Buffer): Buffer {
  records.writeUInt8(records.at(-1)! ^ 0xff, records.length - 1);
  return records;
}

function withMagic(magic: number): Buffer {
  const records = batch(['old']);
  records.writeInt8(magic, 16);
  return records;
}

function withCodec(codec: number): Buffer {
  const records = batch(['odd']);
  records.writeInt16BE(codec, 21);
  const view = new RecordBatchView(records);
  records.writeUInt32BE(view.computeCrc(), 17);
  return records;
}
