import { decodeIndexFooter, decodeIndexTrailer, decodeProducerSnapshot, decodeSegmentObject } from '@kafscale/protocol';
import { createLogger } from '@kafscale/runtime';
import { Writable } from 'node:stream';
import { foldAfterMs, FoldingFixture, segmentBytes } from './folding-fixture.ts';
import { tilePartition } from './tiling.ts';

const kindsOf = (fixture: FoldingFixture, keys: readonly string[]) =>
  keys.map((key) => fixture.names.parse(key)?.kind ?? key);

const stop = (fixture: FoldingFixture) => fixture.folding.stop();

describe('Folding', () => {
  it('leaves alone what is young', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    await fixture.pass(foldAfterMs - 1);
    expect([log.foldedOffset, fixture.rounds]).toEqual([0, []]);
    await stop(fixture);
  });

  it('makes a segment of a partition that has enough, with an index and a record that stay readable', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    for (let flush = 0; flush < 5; flush += 1) await fixture.flush([log], 1_000);
    const before = await fixture.read(log);
    await fixture.pass();
    const record = fixture.records.get(log)!;
    expect(record).toMatchObject({ foldedOffset: 10n, nextOffset: 10n });
    const [segment] = record.segments;
    expect(segment).toMatchObject({ baseOffset: 0n, nextOffset: 10n, length: 5_000n, maxTimestamp: 1_008n });
    const decoded = decodeSegmentObject(await fixture.memory.read(segment!.objectKey));
    expect(decoded.batches.equals(before)).toBe(true);
    expect((await fixture.read(log)).equals(before)).toBe(true);
    expect([log.foldedOffset, log.extents.length]).toEqual([10, 1]);
    await stop(fixture);
  });

  it('puts small partitions together, reading each flush object once', async () => {
    const fixture = new FoldingFixture();
    const logs = Array.from({ length: 6 }, (_, partition) => fixture.open(partition));
    for (let flush = 0; flush < 4; flush += 1) await fixture.flush(logs, 100);
    const before = await Promise.all(logs.map((log) => fixture.read(log)));
    const reads: string[] = [];
    fixture.objectStore.plan = ({ operation, keys }) => {
      if (operation === 'read') reads.push(...keys);
      return 'ok';
    };
    await fixture.pass();
    expect(reads).toHaveLength(4);
    const objects = new Set(
      logs.flatMap((log) => fixture.records.get(log)!.segments.map(({ objectKey }) => objectKey)),
    );
    expect(kindsOf(fixture, [...objects])).toEqual(['merged']);
    for (const [index, log] of logs.entries()) {
      expect((await fixture.read(log)).equals(before[index]!)).toBe(true);
      expect(log.foldedOffset).toBe(8);
    }
    await stop(fixture);
  });

  it('makes one run of many small ones, and a segment of those', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    const parts: Buffer[] = [];
    for (let fold = 0; fold < 20; fold += 1) {
      await fixture.flush([log], 300);
      parts.push((await fixture.read(log)).subarray(-300));
      await fixture.pass(2 * foldAfterMs);
    }
    await fixture.pass();
    const { segments } = fixture.records.get(log)!;
    expect(segments.length).toBeLessThan(8);
    expect(kindsOf(fixture, [segments[0]!.objectKey])).toEqual(['segment']);
    expect((await fixture.read(log)).equals(Buffer.concat(parts))).toBe(true);
    await stop(fixture);
  });

  it('makes smaller segments where a round may hold little, and holds no more than that', async () => {
    const roundBytes = segmentBytes;
    const fixture = new FoldingFixture(undefined, roundBytes);
    const log = fixture.open();
    for (let fold = 0; fold < 40; fold += 1) {
      await fixture.flush([log], 300);
      await fixture.pass(2 * foldAfterMs);
    }
    await fixture.pass();
    const { segments, chunks, foldedOffset } = fixture.records.get(log)!;
    expect(foldedOffset).toBe(80n);
    expect(segments.length + chunks.length).toBeLessThan(12);
    expect(Math.max(...fixture.rounds.map(({ bytes }) => bytes))).toBeLessThanOrEqual(roundBytes);
    await stop(fixture);
  });

  it('publishes what is known of producers, and the record itself, in an index object', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    const known = { producerId: 7n, producerEpoch: 1, firstSequence: 3, lastSequence: 4 };
    fixture.producers.set(log, [{ ...known, baseOffset: 0, lastTimestamp: 77 }]);
    await fixture.pass();
    const record = fixture.records.get(log)!;
    const slice = record.producerSnapshot!;
    const object = await fixture.memory.read(slice.objectKey);
    const start = Number(slice.position);
    expect(decodeProducerSnapshot(object.subarray(start, start + slice.length), slice)).toEqual({
      offset: 2n,
      batches: [{ ...known, baseOffset: 0n, lastTimestamp: 77n }],
    });
    const place = decodeIndexTrailer(object.subarray(object.length - 12), object.length);
    const footer = decodeIndexFooter(object.subarray(place.position, place.position + place.length), place);
    expect(footer.topics[0]!.partitions[0]!.record).toEqual(record);
    await stop(fixture);
  });

  it('keeps the record small when segments become many, by lists in index objects', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    for (let flush = 0; flush < 40; flush += 1) {
      await fixture.flush([log], segmentBytes);
      await fixture.pass(2 * foldAfterMs);
    }
    const { segments, chunks, foldedOffset } = fixture.records.get(log)!;
    expect(segments.length).toBeLessThan(10);
    expect(chunks.length).toBeLessThan(4);
    const listed = chunks.reduce((sum, { segmentCount }) => sum + segmentCount, 0);
    expect([foldedOffset, listed + segments.length]).toEqual([80n, 40]);
    await stop(fixture);
  });

  it('does not move bytes that fail their checksum, nor what lies behind them, and raises an alarm', async () => {
    const lines: string[] = [];
    const destination = new Writable({
      write(line: Buffer, _encoding, done) {
        lines.push(line.toString());
        done();
      },
    });
    const logger = createLogger({ level: 'error', format: 'json', destination });
    const fixture = new FoldingFixture(logger);
    const [log, other] = [fixture.open(0), fixture.open(1)];
    const keys: string[] = [];
    for (let flush = 0; flush < 3; flush += 1) keys.push(await fixture.flush([log, other], segmentBytes));
    const bad = await fixture.memory.read(keys[1]!);
    bad[100]! ^= 1;
    await fixture.memory.delete([keys[1]!]);
    await fixture.memory.create(keys[1]!, [bad]);
    await fixture.pass();
    expect([log.foldedOffset, other.foldedOffset]).toEqual([2, 6]);
    expect(lines.filter((line) => line.includes('cannot be read'))).toHaveLength(1);
    log.advanceLogStart(4);
    const record = fixture.records.get(log)!;
    fixture.records.set(log, { ...record, logStartOffset: 4n });
    await fixture.pass();
    expect(log.foldedOffset).toBe(6);
    await stop(fixture);
  });

  it('rewrites runs of which the log start passes some while they are read', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    for (let fold = 0; fold < 3; fold += 1) {
      await fixture.flush([log], 300);
      await fixture.pass();
    }
    expect(fixture.records.get(log)!.segments).toHaveLength(3);
    await fixture.flush([log], 300);
    const before = await fixture.read(log);
    fixture.objectStore.plan = ({ operation, keys }) => {
      const isOfRuns = operation === 'read' && keys[0]!.includes('/merged/');
      if (!isOfRuns || log.logStartOffset > 0) return 'ok';
      fixture.records.set(log, { ...fixture.records.get(log)!, logStartOffset: 2n });
      log.advanceLogStart(2);
      return 'ok';
    };
    await fixture.pass();
    expect([log.logStartOffset, log.foldedOffset]).toEqual([2, 8]);
    const record = fixture.records.get(log)!;
    expect(record.segments).toMatchObject([{ baseOffset: 0n, nextOffset: 8n }]);
    expect('fault' in tilePartition(record, [])).toBe(false);
    expect((await fixture.read(log)).equals(before)).toBe(true);
    await stop(fixture);
  });

  it('goes on to put runs together behind one that cannot be read any more', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    const fold = async () => {
      await fixture.flush([log], 300);
      await fixture.pass();
    };
    await fold();
    await fixture.memory.delete([fixture.records.get(log)!.segments[0]!.objectKey]);
    for (let folds = 0; folds < 40; folds += 1) await fold();
    const record = fixture.records.get(log)!;
    expect(record).toMatchObject({ foldedOffset: 82n, nextOffset: 82n });
    expect(record.segments[0]).toMatchObject({ baseOffset: 0n, nextOffset: 2n });
    expect(record.segments.length).toBeLessThan(16);
    expect('fault' in tilePartition(record, [])).toBe(false);
    await stop(fixture);
  });

  it('passes over what lies below the log start without reading it', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    const key = await fixture.flush([log]);
    await fixture.memory.delete([key]);
    log.advanceLogStart(2);
    fixture.records.set(log, { ...fixture.records.get(log)!, logStartOffset: 2n });
    await fixture.pass();
    expect(fixture.records.get(log)).toMatchObject({ foldedOffset: 2n, segments: [], nextOffset: 2n });
    await stop(fixture);
  });

  it.each([
    ['another leader epoch', { leaderEpoch: 3 }],
    ['another fold', { foldedOffset: 2n }],
  ])('publishes nothing over a record with %s', async (_, changed) => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    fixture.beforeUpdate = () => {
      fixture.records.set(log, { ...fixture.records.get(log)!, ...changed });
    };
    await fixture.pass();
    expect(fixture.records.get(log)!.segments).toEqual([]);
    expect(log.foldedOffset).toBe(0);
    await stop(fixture);
  });

  it('changes no record before every object it names is stored', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    let stored: readonly string[] = [];
    fixture.beforeUpdate = async () => void (stored = await fixture.keys());
    await fixture.pass();
    const { segments } = fixture.records.get(log)!;
    expect(stored).toContain(segments[0]!.objectKey);
    expect(kindsOf(fixture, stored).sort()).toEqual(['flush', 'index', 'segment', 'segment-index']);
    await stop(fixture);
  });

  it('holds the floor until the publication has its outcome, and tries again after a failure', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    fixture.objectStore.plan = ({ keys }) => (keys[0]!.endsWith('.index') ? 'fail-before' : 'ok');
    fixture.beforeUpdate = () => expect(fixture.floors.at(-1) ?? 0).toBeLessThanOrEqual(fixture.failures);
    await fixture.pass(2 * foldAfterMs);
    expect(fixture.failures).toBeGreaterThan(0);
    expect(log.foldedOffset).toBe(0);
    fixture.objectStore.plan = () => 'ok';
    await fixture.pass();
    expect([log.foldedOffset, fixture.floors.at(-1)]).toEqual([2, fixture.failures + 2]);
    await stop(fixture);
  });

  it('ends soon when it is stopped, with nothing published', async () => {
    const fixture = new FoldingFixture();
    const log = fixture.open();
    await fixture.flush([log], segmentBytes);
    fixture.objectStore.plan = ({ operation }) => (operation === 'create' ? 'hang' : 'ok');
    await fixture.pass(foldAfterMs + foldAfterMs / 2);
    const stopped = stop(fixture);
    await fixture.clock.advanceAsync(1_000);
    await stopped;
    expect(log.foldedOffset).toBe(0);
  });
});
