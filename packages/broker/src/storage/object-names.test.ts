import fc from 'fast-check';
import { ObjectNames } from './object-names.ts';

const names = new ObjectNames('kafscale');
const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const flushName = fc.record({ incarnation: segment, sequence: fc.maxSafeNat(), unique: segment });

describe('ObjectNames', () => {
  it('reads back every flush object name that it makes', () => {
    fc.assert(
      fc.property(flushName, (name) => {
        const key = names.flush(name);
        expect(key.startsWith(names.prefixOf('flush'))).toBe(true);
        expect(names.parse(key)).toEqual({ kind: 'flush', ...name });
        expect(new ObjectNames('other').parse(key)).toBeUndefined();
      }),
    );
  });

  it('reads back every name of the other flat folders, and tells them apart', () => {
    const kind = fc.constantFrom('flush' as const, 'merged' as const, 'shelf' as const, 'index' as const);
    fc.assert(
      fc.property(kind, flushName, (of, name) => {
        expect(names.parse(names.flat(of, name))).toEqual({ kind: of, ...name });
      }),
    );
  });

  it('reads back every segment name, also of a topic that is called like a folder', () => {
    const topicName = fc.oneof(
      fc.constantFrom('flush', 'merged', 'shelf', 'index', '__proto__'),
      fc.stringMatching(/^[A-Za-z0-9_-]{1,249}$/),
    );
    const place = fc.record({ topicName, partition: fc.nat(), baseOffset: fc.maxSafeNat() });
    fc.assert(
      fc.property(place, flushName, (at, name) => {
        const { segment: kfs, index } = names.segment(at, name);
        expect(names.parse(kfs)).toEqual({ kind: 'segment', ...at, ...name });
        expect(names.parse(index)).toEqual({ kind: 'segment-index', ...at, ...name });
      }),
    );
  });

  it('gives different names to different objects', () => {
    fc.assert(
      fc.property(flushName, flushName, (left, right) => {
        const same = JSON.stringify(left) === JSON.stringify(right);
        expect(names.flush(left) === names.flush(right)).toBe(same);
      }),
    );
  });

  it('spreads the objects of one incarnation over prefixes', () => {
    const folders = new Set<string>();
    for (let sequence = 0; sequence < 2000; sequence += 1) {
      folders.add(names.flush({ incarnation: 'i', sequence, unique: 'u' }).split('/')[2]!);
    }
    expect(folders.size).toBeGreaterThan(250);
  });

  it('orders the objects of one incarnation and prefix by sequence', () => {
    const paths = [9, 10, 99, 100].map(
      (sequence) => names.flush({ incarnation: 'i', sequence, unique: 'u' }).split('/')[3]!,
    );
    expect([...paths].sort()).toEqual(paths);
  });

  it.each([
    { incarnation: '', sequence: 0, unique: 'u' },
    { incarnation: '..', sequence: 0, unique: 'u' },
    { incarnation: 'a/b', sequence: 0, unique: 'u' },
    { incarnation: 'i', sequence: -1, unique: 'u' },
    { incarnation: 'i', sequence: 0.5, unique: 'u' },
    { incarnation: 'i', sequence: 0, unique: '' },
    { incarnation: 'i', sequence: 0, unique: 'u.wal' },
  ])('refuses to name %j', (name) => {
    expect(() => names.flush(name)).toThrow(RangeError);
  });

  it.each(['', '.', '..', 'a/b', '/a', '.staging', 'ä', 'a'.repeat(65)])('refuses the namespace %j', (namespace) => {
    expect(() => new ObjectNames(namespace)).toThrow(RangeError);
  });

  it('does not take a foreign key for a flush object', () => {
    const key = names.flush({ incarnation: 'i', sequence: 1, unique: 'u' });
    const foreign = [
      '',
      'kafscale/flush/',
      `x${key}`,
      `${key}x`,
      key.replace(/flush\/../, 'flush/zz'),
      key.replace('/flush/', '/segments/'),
      key.replace('0000000000000001', '1'),
      key.replace(/flush\/(..)/, (_, folder: string) => `flush/${folder === '00' ? '01' : '00'}`),
    ];
    for (const candidate of foreign) expect(names.parse(candidate)).toBeUndefined();
  });
});
