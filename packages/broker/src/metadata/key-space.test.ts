import fc from 'fast-check';
import { KeySpace } from './key-space.ts';
import { MetadataError } from './metadata-error.ts';
import type { Operation, Revision } from './metadata-store.ts';

/** What a range over everything shows: text by key. */
type Snapshot = ReadonlyMap<string, string>;

const everything = { key: '\u0001', end: '\x7f' };
const key = fc.constantFrom('a', 'a/1', 'a/2', 'b', 'c/1', 'c/2', 'd');
const operation = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, text: fc.string({ maxLength: 3 }) }),
  fc.record({ type: fc.constant('delete' as const), key, end: fc.option(key, { nil: undefined }) }),
);
const step = fc.oneof(
  { weight: 10, arbitrary: fc.array(operation, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.record({ compactShare: fc.double({ min: 0, max: 1, noNaN: true }) }) },
);

function toOperation(drawn: typeof operation extends fc.Arbitrary<infer T> ? T : never): Operation {
  if (drawn.type === 'put') return { type: 'put', key: drawn.key, value: Buffer.from(drawn.text) };
  return { type: 'delete', key: drawn.key, ...(drawn.end === undefined ? {} : { end: drawn.end }) };
}

function next(before: Snapshot, operations: readonly Operation[]): Snapshot {
  const after = new Map(before);
  for (const each of operations) {
    if (each.type === 'put') after.set(each.key, Buffer.from(each.value).toString());
    if (each.type !== 'delete') continue;
    for (const present of [...after.keys()]) {
      if (each.end === undefined ? present === each.key : present >= each.key && present < each.end)
        after.delete(present);
    }
  }
  return after;
}

const sorted = (snapshot: Snapshot) => [...snapshot].sort(([left], [right]) => (left < right ? -1 : 1));
const read = (keys: KeySpace, revision: Revision) =>
  keys.range({ ...everything, revision }).items.map((kv) => [kv.key, Buffer.from(kv.value).toString()]);

describe('KeySpace', () => {
  it('reads every revision since the last compaction as it was, and its events lead from one to the next', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const keys = new KeySpace(() => true);
        const snapshots = new Map<Revision, Snapshot>([[keys.revision, new Map()]]);
        for (const each of steps) {
          if (!Array.isArray(each)) {
            const span = keys.revision - keys.compactedRevision;
            keys.compact(keys.compactedRevision + Math.floor(span * each.compactShare));
            continue;
          }
          const operations = each.map(toOperation);
          const before = snapshots.get(keys.revision)!;
          try {
            const { result, events } = keys.transact({ compare: [], success: operations });
            expect(events.length > 0).toBe(!snapshots.has(result.revision));
            if (events.length > 0) snapshots.set(result.revision, next(before, operations));
          } catch (error) {
            if (!(error instanceof MetadataError) || error.kind !== 'invalid') throw error;
          }
        }

        for (const [revision, snapshot] of snapshots) {
          if (revision < keys.compactedRevision) expect(() => read(keys, revision)).toThrow(MetadataError);
          else expect(read(keys, revision)).toEqual(sorted(snapshot));
        }
        const replayed = new Map(snapshots.get(keys.compactedRevision));
        for (
          let batch = keys.nextBatch(everything, keys.compactedRevision + 1, keys.revision);
          batch !== undefined;
          batch = keys.nextBatch(everything, batch.revision + 1, keys.revision)
        ) {
          for (const event of batch.events) {
            if (event.type === 'put') replayed.set(event.kv.key, Buffer.from(event.kv.value).toString());
            else expect(replayed.delete(event.key)).toBe(true);
          }
          expect(sorted(replayed)).toEqual(sorted(snapshots.get(batch.revision)!));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('keeps no trace of a deleted key once its delete is compacted', () => {
    const keys = new KeySpace(() => true);
    for (let round = 0; round < 3000; round += 1) {
      keys.transact({ compare: [], success: [{ type: 'put', key: `k/${round}`, value: Buffer.alloc(10) }] });
      keys.transact({ compare: [], success: [{ type: 'delete', key: `k/${round}` }] });
      keys.trimHistory({ maxRevisions: 100, maxBytes: 1e9 });
    }
    expect(keys.revision - keys.compactedRevision).toBeLessThanOrEqual(100);
    expect(keys.range({ ...everything, revision: keys.compactedRevision }).items.length).toBeLessThanOrEqual(1);
  });

  it('drops history by bytes too, but never what must be kept', () => {
    const keys = new KeySpace(() => true);
    const put = () => keys.transact({ compare: [], success: [{ type: 'put', key: 'a', value: Buffer.alloc(1000) }] });
    for (let round = 0; round < 100; round += 1) put();
    const keep = keys.revision - 50;
    keys.trimHistory({ maxRevisions: 1000, maxBytes: 20_000 }, keep);
    expect(keys.compactedRevision).toBe(keep);
    keys.trimHistory({ maxRevisions: 1000, maxBytes: 20_000 });
    expect(keys.revision - keys.compactedRevision).toBeLessThan(20);
  });
});
