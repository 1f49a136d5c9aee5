import { heartbeat, produce } from '@kafscale/protocol';
import { SlabPool, type Slab } from '@kafscale/runtime';
import fc from 'fast-check';
import { FrameMemory, landingBytes } from './frame-memory.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';

const KiB = 1_024;
const largeSlabBytes = 256 * KiB;
const newPool = () => new SlabPool({ slabBytes: largeSlabBytes, maxIdleSlabs: 4 });
const maxFrameBytes = 1_024 * KiB;

interface PlannedFrame {
  readonly size: number;
  readonly isProduce: boolean;
}

const frameSize = fc.oneof(
  fc.integer({ min: 2, max: 300 }),
  fc.integer({ min: 2, max: 40 * KiB }),
  fc.integer({ min: landingBytes - 6, max: landingBytes + 6 }),
  fc.integer({ min: 2, max: largeSlabBytes + 100 }),
  fc.integer({ min: 2, max: maxFrameBytes }),
);
const plannedFrames = fc.array(fc.record({ size: frameSize, isProduce: fc.boolean() }), {
  minLength: 1,
  maxLength: 12,
});
const readSize = fc.oneof(
  fc.integer({ min: 1, max: 7 }),
  fc.integer({ min: 1, max: 4 * KiB }),
  fc.integer({ min: 1, max: 600 * KiB }),
);

/** The bytes of a frame: every position tells which frame and place it belongs to. */
function encode({ size, isProduce }: PlannedFrame, seed: number): Buffer {
  const bytes = Buffer.alloc(4 + size);
  bytes.writeInt32BE(size);
  for (let position = 4; position < bytes.length; position += 1) bytes[position] = (position * 7 + seed * 13) & 0xff;
  bytes.writeInt16BE(isProduce ? produce.key : heartbeat.key, 4);
  return bytes;
}

interface Step {
  readonly connection: number;
  readonly size: number;
  readonly isAligned: boolean;
  readonly framesUntilStop: number;
  readonly released: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  connection: fc.nat({ max: 2 }),
  size: readSize,
  isAligned: fc.boolean(),
  framesUntilStop: fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 3 })),
  released: fc.nat({ max: 4 }),
});

interface HeldFrame {
  readonly bytes: Buffer;
  readonly expected: Buffer;
  readonly slab: Slab | undefined;
}

/** A connection without a socket: reads as Node does, which asks for the next buffer right after it reported a read. */
class SimulatedConnection implements FrameSink {
  readonly reader: FrameReader;
  readonly #stream: Buffer;
  readonly #expected: readonly Buffer[];
  /** Where frames end in the stream. */
  readonly #boundaries: readonly number[];
  readonly #held: HeldFrame[] = [];
  #nextFrame = 0;
  #read = 0;
  #target: Buffer;
  #framesUntilStop = Infinity;
  #isStopped = false;

  constructor(memory: FrameMemory, frames: readonly PlannedFrame[], seed: number) {
    const encoded = frames.map((frame, index) => encode(frame, seed + index));
    this.#stream = Buffer.concat(encoded);
    this.#expected = encoded.map((bytes) => bytes.subarray(4));
    let end = 0;
    this.#boundaries = encoded.map((bytes) => (end += bytes.length));
    this.reader = new FrameReader(memory, maxFrameBytes, this);
    this.#target = this.reader.nextBuffer();
  }

  get isDone(): boolean {
    return this.#nextFrame === this.#expected.length;
  }

  get hasUnread(): boolean {
    return this.#read < this.#stream.length;
  }

  onFrame(bytes: Buffer, start: number, end: number, slab: Slab | undefined): boolean {
    const expected = this.#expected[this.#nextFrame]!;
    this.#nextFrame += 1;
    this.#held.push({ bytes: bytes.subarray(start, end), expected, slab });
    this.#framesUntilStop -= 1;
    this.#isStopped = this.#framesUntilStop <= 0;
    return !this.#isStopped;
  }

  onBadLength(length: number): void {
    throw new Error(`good frames only, and not ${length}`);
  }

  /** One read of the system, perhaps exactly up to the end of a frame, and perhaps a stop after so many frames. */
  receive({ size, isAligned, framesUntilStop }: Step): void {
    this.#framesUntilStop = framesUntilStop;
    this.#resume();
    if (this.#isStopped) return; // still more frames than it takes; the socket is not read
    if (this.#target.length === 0) throw new Error('an empty buffer to read into');
    const boundary = this.#boundaries.findLast((end) => end <= this.#read + size) ?? 0;
    const end = isAligned && boundary > this.#read ? boundary : this.#read + size;
    const length = this.#stream.copy(this.#target, 0, this.#read, end);
    if (length === 0) return;
    this.#read += length;
    this.reader.received(length);
    this.#target = this.reader.nextBuffer();
  }

  #resume(): void {
    this.#isStopped = false;
    this.reader.cut();
  }

  /** The oldest frames are done with: they must hold what was sent, whatever was read since. */
  release(count: number): void {
    for (const { bytes, expected, slab } of this.#held.splice(0, count)) {
      if (!bytes.equals(expected)) throw new Error(`a frame of ${expected.length} bytes changed while it was held`);
      slab?.release();
    }
  }
}

describe('FrameReader', () => {
  it('hands on every frame unchanged and gives all memory back, however bytes, stops and connections mix', () => {
    fc.assert(
      fc.property(
        fc.array(plannedFrames, { minLength: 3, maxLength: 3 }),
        fc.infiniteStream(step),
        fc.integer({ min: 0, max: 2 }),
        (plans, steps, maxReadingLargeSlabs) => {
          const memory = new FrameMemory({ pool: newPool(), maxReadingLargeSlabs });
          const connections = plans.map((plan, index) => new SimulatedConnection(memory, plan, index * 50));
          for (const next of steps) {
            const chosen = connections[next.connection]!;
            chosen.receive(next);
            chosen.release(next.released);
            if (connections.every(({ isDone, hasUnread }) => isDone && !hasUnread)) break;
          }
          for (const connection of connections) {
            connection.release(Infinity);
            connection.reader.close();
          }
          memory.close();
          expect(memory.bytesInUse).toBe(0);
        },
      ),
      { numRuns: 80 },
    );
  });

  it.each([-1, -0x8000_0000, maxFrameBytes + 1, 0x7fff_ffff])(
    'refuses a length of %d and cuts nothing behind it',
    (length) => {
      const seen: number[] = [];
      const memory = new FrameMemory({ pool: newPool(), maxReadingLargeSlabs: 1 });
      const reader = new FrameReader(memory, maxFrameBytes, {
        onFrame: () => {
          throw new Error('nothing to hand on');
        },
        onBadLength: (bad) => void seen.push(bad),
      });
      const bytes = Buffer.alloc(20);
      bytes.writeInt32BE(length);
      bytes.copy(reader.nextBuffer());
      reader.received(bytes.length);
      reader.nextBuffer();
      reader.received(5);
      expect(seen).toEqual([length]);
      expect(memory.bytesInUse).toBe(0);
    },
  );

  it('takes memory by what arrived, not by what was declared', () => {
    const memory = new FrameMemory({ pool: newPool(), maxReadingLargeSlabs: 4 });
    const reader = new FrameReader(memory, 100 * 2 ** 20, { onFrame: () => true, onBadLength: () => undefined });
    let arrived = 0;
    const receive = (length: number): void => {
      const target = reader.nextBuffer();
      if (arrived === 0) target.writeInt32BE(100 * 2 ** 20);
      const read = Math.min(length, target.length);
      reader.received(read);
      reader.nextBuffer();
      arrived += read;
    };
    while (arrived < 3 * 2 ** 20) {
      receive(10_000);
      expect(memory.bytesInUse).toBeLessThanOrEqual(Math.max(landingBytes, 2 * arrived));
    }
    reader.close();
    memory.close();
  });
});
