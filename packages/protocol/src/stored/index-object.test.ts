import fc from 'fast-check';
import { DecodeError } from '../errors/decode-error.ts';
import {
  IndexFooter,
  type PartitionRecord,
  type Segment,
  SegmentList,
} from '../metadata/generated/metadata/metadata.ts';
import { crc32c } from '../records/crc32c.ts';
import {
  decodeIndexFooter,
  decodeIndexTrailer,
  decodeProducerSnapshot,
  decodeSegmentChunk,
  IndexObjectBuilder,
  indexTrailerBytes,
} from './index-object.ts';

const topicId = Buffer.alloc(16, 7);
const orders = { topicId, topicName: 'orders', partition: 3 };
const origin = { clusterId: 'cluster', incarnation: 'incarnation', sequence: 42, createdMs: 1_700_000_000_000 };

const segment = (baseOffset: number, nextOffset: number, rest: Partial<Segment> = {}): Segment => ({
  objectKey: `segment-${baseOffset}.kfs`,
  baseOffset: BigInt(baseOffset),
  nextOffset: BigInt(nextOffset),
  position: 32n,
  length: 1_000n,
  maxTimestamp: BigInt(nextOffset),
  maxTimestampBaseOffset: BigInt(baseOffset),
  leaderEpoch: 1,
  ...rest,
});

const snapshot = {
  offset: 20n,
  batches: [
    { producerId: 9n, producerEpoch: 1, firstSequence: 0, lastSequence: 4, baseOffset: 10n, lastTimestamp: 5n },
  ],
};

/** The object and its footer, found from its end. */
function opened(slices: readonly Buffer[]) {
  const object = Buffer.concat(slices);
  const place = decodeIndexTrailer(object.subarray(object.length - indexTrailerBytes), object.length);
  const footer = decodeIndexFooter(object.subarray(place.position, place.position + place.length), place);
  return { object, place, footer };
}

const at = (object: Buffer, { position, length }: { readonly position: bigint; readonly length: number }) =>
  object.subarray(Number(position), Number(position) + length);

describe('an index object', () => {
  it('gives back every slice by the reference it answered', () => {
    const builder = new IndexObjectBuilder('object-1');
    const segments = [segment(0, 10), segment(10, 20, { maxTimestamp: 99n }), segment(20, 25)];
    const first = builder.addSegments(orders, segments);
    const second = builder.addSegments({ ...orders, partition: 4 }, [segment(5, 6)]);
    const producers = builder.addProducerSnapshot(orders, snapshot);
    expect(first).toMatchObject({
      baseOffset: 0n,
      nextOffset: 25n,
      segmentCount: 3,
      length: 3_000n,
      maxTimestamp: 99n,
    });
    expect(first.list).toMatchObject({ objectKey: 'object-1', position: 0n });
    expect(builder.sizeBytes).toBe(first.list!.length + second.list!.length + producers.length);

    const { object } = opened(builder.finish(origin));
    expect(decodeSegmentChunk(at(object, first.list!), first)).toEqual(segments);
    expect(decodeSegmentChunk(at(object, second.list!), second)).toEqual([segment(5, 6)]);
    expect(decodeProducerSnapshot(at(object, producers), producers)).toEqual(snapshot);
  });

  it('explains itself from its last bytes', () => {
    const builder = new IndexObjectBuilder('object-1');
    const chunk = builder.addSegments(orders, [segment(0, 20)]);
    const producerSnapshot = builder.addProducerSnapshot(orders, snapshot);
    const record: PartitionRecord = {
      owner: 'incarnation',
      brokerId: 1,
      leaderEpoch: 2,
      logStartOffset: 0n,
      foldedOffset: 30n,
      epochStarts: [{ leaderEpoch: 1, startOffset: 0n }],
      nextOffset: 31n,
      chunks: [chunk],
      segments: [segment(20, 30)],
      producerSnapshot,
    };
    builder.setRecord(orders, record);
    builder.setRecord({ topicId: Buffer.alloc(16, 8), topicName: 'other', partition: 0 }, record);
    const { footer } = opened(builder.finish(origin));
    const { list } = chunk;
    expect(footer).toEqual({
      clusterId: 'cluster',
      incarnation: 'incarnation',
      sequence: 42n,
      createdMs: 1_700_000_000_000n,
      topics: [
        {
          topicId,
          name: 'orders',
          partitions: [
            {
              partition: 3,
              record,
              slices: [
                {
                  position: 0n,
                  length: list!.length,
                  crc32c: list!.crc32c,
                  content: { $case: 'segmentList', value: { baseOffset: 0n, nextOffset: 20n } },
                },
                {
                  position: BigInt(list!.length),
                  length: producerSnapshot.length,
                  crc32c: producerSnapshot.crc32c,
                  content: { $case: 'producerSnapshot', value: 20n },
                },
              ],
            },
          ],
        },
        { topicId: Buffer.alloc(16, 8), name: 'other', partitions: [{ partition: 0, record, slices: [] }] },
      ],
    });
  });

  it('ends with the bytes that the format says', () => {
    const { object, place } = opened(new IndexObjectBuilder('object-1').finish(origin));
    const end = object.subarray(object.length - 12);
    expect([end.readUInt32BE(0), end.readUInt32BE(4)]).toEqual([
      place.length,
      crc32c(object.subarray(0, place.length)),
    ]);
    expect(end.subarray(8).toString('latin1')).toBe('KIDX');
  });

  it('takes no chunk whose segments do not follow each other', () => {
    const add = (...segments: Segment[]) => {
      const builder = new IndexObjectBuilder('object-1');
      return () => builder.addSegments(orders, segments);
    };
    expect(add()).toThrow(RangeError);
    expect(add(segment(0, 10), segment(11, 20))).toThrow('a segment at offset 11, not 10');
    expect(add(segment(0, 0))).toThrow('ends before');
    expect(add(segment(0, 10, { length: 0n }))).toThrow('lies nowhere');
    expect(add(segment(0, 10, { leaderEpoch: 5 }), segment(10, 20))).toThrow('leader epoch 1 after 5');
  });

  it('takes no topic under two ids', () => {
    const builder = new IndexObjectBuilder('object-1');
    builder.addSegments(orders, [segment(0, 1)]);
    expect(() => builder.addSegments({ ...orders, topicId: Buffer.alloc(16, 8) }, [segment(0, 1)])).toThrow('two ids');
  });

  it('is refused when any bit of a slice, the footer or the trailer changed', () => {
    const builder = new IndexObjectBuilder('object-1');
    const chunk = builder.addSegments(orders, [segment(0, 10), segment(10, 20)]);
    const slices = builder.finish(origin);
    const whole = Buffer.concat(slices);
    for (let byte = 0; byte < whole.length; byte += 1) {
      const changed = Buffer.from(whole);
      changed[byte]! ^= 1 << (byte % 8);
      const read = () => decodeSegmentChunk(at(opened([changed]).object, chunk.list!), chunk);
      expect(read).toThrow(DecodeError);
    }
  });

  it('is refused when its footer names slices outside of it', () => {
    const footer = (position: bigint, length: number, isNothing = false) =>
      Buffer.from(
        IndexFooter.encode({
          clusterId: '',
          incarnation: '',
          sequence: 0n,
          createdMs: 0n,
          topics: [
            {
              topicId,
              name: 'orders',
              partitions: [
                {
                  partition: 0,
                  record: undefined,
                  slices: [
                    {
                      position,
                      length,
                      crc32c: 0,
                      content: isNothing ? undefined : { $case: 'producerSnapshot', value: 0n },
                    },
                  ],
                },
              ],
            },
          ],
        }).finish(),
      );
    const decode = (bytes: Buffer) => () =>
      decodeIndexFooter(bytes, { position: 100, length: bytes.length, crc32c: crc32c(bytes) });
    expect(decode(footer(60n, 40))).not.toThrow();
    for (const wrong of [footer(61n, 40), footer(-1n, 5), footer(0n, -1), footer(0n, 5, true)]) {
      expect(decode(wrong)).toThrow(DecodeError);
    }
  });

  it('is refused when a list with a right checksum is not the one the chunk describes', () => {
    const builder = new IndexObjectBuilder('object-1');
    const segments = [segment(0, 10), segment(10, 20)];
    const chunk = builder.addSegments(orders, segments);
    const list = (other: readonly Segment[]) => Buffer.from(SegmentList.encode({ segments: [...other] }).finish());
    const decode = (bytes: Buffer) => () =>
      decodeSegmentChunk(bytes, { ...chunk, list: { ...chunk.list!, length: bytes.length, crc32c: crc32c(bytes) } });
    expect(decode(list(segments))).not.toThrow();
    const wrong = [
      [],
      segments.slice(1),
      segments.slice(0, 1),
      [segment(0, 20)],
      [segment(0, 10), segment(10, 20, { length: 1_001n })],
      [segment(0, 10), segment(10, 20, { maxTimestamp: 21n })],
      [segment(0, 10), segment(9, 20)],
    ];
    for (const other of wrong) expect(decode(list(other))).toThrow(DecodeError);
    expect(() => decodeSegmentChunk(list(segments), { ...chunk, list: undefined })).toThrow(DecodeError);
  });

  it('of any bytes is refused, never hung on', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const buffer = Buffer.from(bytes);
        expect(() => opened([buffer, Buffer.alloc(12)])).toThrow(DecodeError);
        const place = { position: 50, length: buffer.length, crc32c: crc32c(buffer) };
        try {
          decodeIndexFooter(buffer, place);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });
});
