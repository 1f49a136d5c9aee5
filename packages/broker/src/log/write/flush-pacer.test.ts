import { FakeClock } from '@kafscale/testkit';
import { FlushBuffer } from './flush-buffer.ts';
import { FlushPacer } from './flush-pacer.ts';
import { partitionWriter, pendingBatch } from './write-path-fixture.ts';

const settings = { windowMs: 100, maxBytes: 1_000, maxEntries: 10, maxUploads: 2 };
const burst = 8;

function setUp(values: Partial<typeof settings> = {}) {
  const clock = new FakeClock();
  const pacer = new FlushPacer({ ...settings, ...values }, clock);
  return { clock, pacer };
}

function bufferOf(batchCount: number, bytes = 10): FlushBuffer {
  const buffer = new FlushBuffer(0);
  const writer = partitionWriter();
  for (let index = 0; index < batchCount; index += 1) {
    buffer.add(pendingBatch(writer, { bytes: Buffer.alloc(bytes) }).batch);
  }
  return buffer;
}

/** Decides once for a flush that was just opened. */
function decideFresh(pacer: FlushPacer) {
  pacer.opened();
  return pacer.decide(bufferOf(1), 0, 0);
}

describe('FlushPacer', () => {
  it('closes the flush of an idle broker at once', () => {
    expect(decideFresh(setUp().pacer)).toBe('close');
  });

  it('has nothing to do for an empty flush', () => {
    expect(setUp().pacer.decide(new FlushBuffer(0), 0, 0)).toBe('wait');
  });

  it('lets a flush grow for a window while an earlier one has no outcome', () => {
    const { pacer, clock } = setUp();
    pacer.opened();
    expect(pacer.decide(bufferOf(1), 1, 1)).toEqual({ afterMs: 100 });
    clock.advance(40);
    expect(pacer.decide(bufferOf(1), 0, 1)).toEqual({ afterMs: 60 });
    clock.advance(60);
    expect(pacer.decide(bufferOf(1), 1, 1)).toBe('close');
  });

  it('closes a full flush without waiting, by bytes and by entries', () => {
    const { pacer } = setUp();
    pacer.opened();
    expect(pacer.decide(bufferOf(2, 500), 1, 1)).toBe('close');
    expect(pacer.decide(bufferOf(9), 1, 1)).toBe('close');
    expect(pacer.decide(bufferOf(8), 1, 1)).not.toBe('close');
  });

  it('waits for an upload to end while as many run as may', () => {
    const { pacer, clock } = setUp();
    pacer.opened();
    clock.advance(1_000);
    expect(pacer.decide(bufferOf(1), 2, 2)).toBe('wait');
    expect(pacer.decide(bufferOf(2, 500), 2, 2)).toBe('wait');
  });

  it('brings a steady trickle down to one flush a window', () => {
    const { pacer, clock } = setUp();
    let closed = 0;
    for (let ms = 0; ms < 10_000; ms += 10) {
      if (decideFresh(pacer) === 'close') closed += 1;
      clock.advance(10);
    }
    expect(closed).toBeGreaterThanOrEqual(10_000 / 100);
    expect(closed).toBeLessThanOrEqual(10_000 / 100 + burst);
  });

  it('saves no more than a burst of early flushes while it is idle', () => {
    const { pacer, clock } = setUp();
    clock.advance(1_000_000);
    let closed = 0;
    while (decideFresh(pacer) === 'close') closed += 1;
    expect(closed).toBe(burst);
  });

  it('never waits without a window', () => {
    const { pacer } = setUp({ windowMs: 0 });
    for (let flushes = 0; flushes < 100; flushes += 1) expect(decideFresh(pacer)).toBe('close');
  });

  it('gives those who were answered together a moment to come back together', () => {
    const { pacer, clock } = setUp();
    pacer.answered(3, 0, 1);
    pacer.opened();
    expect(pacer.decide(bufferOf(2), 0, 0)).toEqual({ afterMs: 1 });
    expect(pacer.decide(bufferOf(3), 0, 0)).toBe('close');
    clock.advance(1);
    expect(pacer.decide(bufferOf(2), 0, 0)).toBe('close');
  });

  it('expects those who wait already beside those who were answered', () => {
    const { pacer } = setUp();
    pacer.opened();
    pacer.answered(1, 1, 1);
    expect(pacer.decide(bufferOf(1), 0, 0)).toEqual({ afterMs: 1 });
    expect(pacer.decide(bufferOf(2), 0, 0)).toBe('close');
  });

  it('gives a slow store fewer and larger flushes, but not without end', () => {
    const { pacer, clock } = setUp({ windowMs: 10 });
    pacer.answered(1, 0, 30);
    pacer.opened();
    expect(pacer.decide(bufferOf(1), 1, 1)).toEqual({ afterMs: 30 });
    clock.advance(30);
    expect(pacer.decide(bufferOf(1), 1, 1)).toBe('close');
    pacer.answered(1, 0, 5_000);
    pacer.opened();
    expect(pacer.decide(bufferOf(1), 1, 1)).toEqual({ afterMs: 50 });
  });

  describe('with a large flush', () => {
    const large = { windowMs: 250, maxBytes: 4 * 2 ** 20 };
    const quarter = 2 ** 20;

    it('closes it once nobody has added to it for a while', () => {
      const { pacer, clock } = setUp(large);
      pacer.opened();
      expect(pacer.decide(bufferOf(1, quarter), 1, 1)).toEqual({ afterMs: 5 });
      clock.advance(3);
      expect(pacer.decide(bufferOf(2, quarter), 1, 1)).toEqual({ afterMs: 5 });
      clock.advance(4);
      expect(pacer.decide(bufferOf(2, quarter), 1, 1)).toEqual({ afterMs: 1 });
      clock.advance(1);
      expect(pacer.decide(bufferOf(2, quarter), 1, 1)).toBe('close');
    });

    it('needs no early flush left for that', () => {
      const { pacer, clock } = setUp(large);
      while (decideFresh(pacer) === 'close');
      pacer.opened();
      expect(pacer.decide(bufferOf(1, quarter), 0, 0)).toEqual({ afterMs: 5 });
      clock.advance(5);
      expect(pacer.decide(bufferOf(1, quarter), 0, 0)).toBe('close');
    });

    it('lets one below a quarter of its bytes wait for the window, at rest or not', () => {
      const { pacer, clock } = setUp(large);
      pacer.opened();
      expect(pacer.decide(bufferOf(1, quarter - 1), 1, 1)).toEqual({ afterMs: 250 });
      clock.advance(100);
      expect(pacer.decide(bufferOf(1, quarter - 1), 1, 1)).toEqual({ afterMs: 150 });
    });

    it('does not take the rest of one flush for that of the next', () => {
      const { pacer, clock } = setUp(large);
      pacer.opened();
      pacer.decide(bufferOf(1, quarter), 1, 1);
      clock.advance(5);
      expect(pacer.decide(bufferOf(1, quarter), 1, 1)).toBe('close');
      pacer.opened();
      expect(pacer.decide(bufferOf(1, quarter), 1, 1)).toEqual({ afterMs: 5 });
    });
  });
});
