import { decodeFlushFooter, decodeFlushTrailer, flushTrailerBytes } from '@kafscale/protocol';
import { closeFlush } from './flush.ts';
import { countedMemory, partitionWriter, pendingBatch, topicId } from './write-path-fixture.ts';

const identity = {
  clusterId: 'cluster-1',
  incarnation: 'incarnation-1',
  sequence: 9,
  buildsOn: 7,
  createdMs: 1_234,
  closedMs: 5,
};

function closed() {
  const first = partitionWriter({ nextOffset: 100, leaderEpoch: 4 });
  const second = partitionWriter({ partition: 1, nextOffset: 2 ** 32 + 5, leaderEpoch: 1 });
  const batches = [
    pendingBatch(first, { fill: 1, recordCount: 3, maxTimestamp: 50 }).batch,
    pendingBatch(first, { fill: 2, recordCount: 2, maxTimestamp: 90 }).batch,
    pendingBatch(first, { fill: 3, maxTimestamp: 90 }).batch,
  ];
  const other = pendingBatch(second, {
    fill: 4,
    bytes: Buffer.alloc(70, 4),
    producerId: 5n,
    producerEpoch: 2,
    firstSequence: 7,
    lastSequence: 7,
  }).batch;
  const memory = countedMemory();
  const flush = closeFlush(
    identity,
    new Map([
      [first, batches],
      [second, [other]],
    ]),
    memory.arena,
  );
  return { first, second, batches, other, flush, ...memory };
}

describe('a closed flush', () => {
  it('gives offsets out in order and moves each writer on', () => {
    const { first, second, batches, other } = closed();
    expect(batches.map(({ baseOffset }) => baseOffset)).toEqual([100, 103, 105]);
    expect(other.baseOffset).toBe(2 ** 32 + 5);
    expect([first.nextOffset, second.nextOffset]).toEqual([106, 2 ** 32 + 6]);
  });

  it('says where each partition lies, and which batch has the largest timestamp first', () => {
    const { flush } = closed();
    expect(flush.extents).toMatchObject([
      { baseOffset: 100, nextOffset: 106, position: 0, length: 240, maxTimestamp: 90, maxTimestampBaseOffset: 103 },
      { baseOffset: 2 ** 32 + 5, nextOffset: 2 ** 32 + 6, position: 240, length: 70, maxTimestamp: 1_000 },
    ]);
    expect(flush.footerPosition).toBe(310);
  });

  it('holds the bytes as they arrived, but for base offset and leader epoch', () => {
    const { flush, other } = closed();
    const second = flush.body.subarray(80, 160);
    expect(second.readBigInt64BE(0)).toBe(103n);
    expect(second.subarray(8, 12)).toEqual(Buffer.alloc(4, 2));
    expect(second.readInt32BE(12)).toBe(4);
    expect(second.subarray(16)).toEqual(Buffer.alloc(64, 2));
    const last = flush.body.subarray(240, 310);
    expect(last.readBigInt64BE(0)).toBe(BigInt(2 ** 32 + 5));
    expect(last.readInt32BE(12)).toBe(1);
    expect(other.bytes).toEqual(Buffer.alloc(70, 4));
  });

  it('ends with a footer that says what the object is', () => {
    const { flush } = closed();
    const { body } = flush;
    const found = decodeFlushTrailer(body.subarray(body.length - flushTrailerBytes), body.length);
    expect(found.position).toBe(flush.footerPosition);
    const footer = body.subarray(found.position, found.position + found.length);
    const description = decodeFlushFooter(footer, found.crc32c);
    expect(description).toEqual(flush.description);
    expect(description).toMatchObject({
      clusterId: 'cluster-1',
      incarnation: 'incarnation-1',
      sequence: 9n,
      buildsOn: 7n,
      createdMs: 1_234n,
    });
  });

  it('names one topic once, and the producers of each extent', () => {
    const { topics } = closed().flush.description;
    expect(topics).toHaveLength(1);
    expect(topics[0]!.topicId.toString('base64url')).toBe(topicId);
    expect(topics[0]!.extents.map(({ producerBatches }) => producerBatches)).toEqual([
      [],
      [
        {
          producerId: 5n,
          producerEpoch: 2,
          firstSequence: 7,
          lastSequence: 7,
          baseOffset: BigInt(2 ** 32 + 5),
          lastTimestamp: 1_234n,
        },
      ],
    ]);
  });

  it('holds one reference to its memory', () => {
    const { flush, pool, arena } = closed();
    arena.close();
    expect(pool.bytesInUse).toBe(4_096);
    flush.slab.release();
    expect(pool.bytesInUse).toBe(0);
  });
});
