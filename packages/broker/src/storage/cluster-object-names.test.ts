import fc from 'fast-check';
import { ObjectNames } from './object-names.ts';

const names = new ObjectNames('kafscale');
const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const generation = fc.nat();
const checkpoint = fc.record({ generation, revision: fc.maxSafeNat(), incarnation: segment, unique: segment });

describe('names of objects about the cluster itself', () => {
  it('are read back, and are no names of records', () => {
    fc.assert(
      fc.property(generation, segment, checkpoint, fc.nat(99_999), (of, clusterId, id, part) => {
        const identity = names.identity({ generation: of, clusterId });
        expect(names.parseCluster(identity)).toEqual({ kind: 'identity', generation: of, clusterId });
        const [head, piece] = [names.checkpointHead(id), names.checkpointPart(id, part)];
        expect(names.parseCluster(head)).toEqual({ kind: 'checkpoint-head', ...id });
        expect(names.parseCluster(piece)).toEqual({ kind: 'checkpoint-part', part, ...id });
        for (const key of [identity, head, piece]) {
          expect(names.parse(key)).toBeUndefined();
          expect(new ObjectNames('other').parseCluster(key)).toBeUndefined();
        }
      }),
    );
  });

  it('are not those of a topic that is called cluster', () => {
    const place = { topicName: 'cluster', partition: 0, baseOffset: 0 };
    const key = names.segment(place, { incarnation: 'i', sequence: 0, unique: 'u' });
    expect(names.parseCluster(key.segment)).toBeUndefined();
    expect(names.parse(key.segment)).toMatchObject({ kind: 'segment', topicName: 'cluster' });
  });

  it('refuse what would not come back', () => {
    expect(() => names.identity({ generation: -1, clusterId: 'c' })).toThrow(RangeError);
    expect(() => names.identity({ generation: 0, clusterId: 'a/b' })).toThrow(RangeError);
    expect(() => names.identity({ generation: 1e10, clusterId: 'c' })).toThrow(RangeError);
    const id = { generation: 0, revision: 0, incarnation: 'i', unique: '' };
    expect(() => names.checkpointHead(id)).toThrow(RangeError);
    expect(() => names.checkpointPart({ ...id, unique: 'u' }, 100_000)).toThrow(RangeError);
  });
});
