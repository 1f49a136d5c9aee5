import fc from 'fast-check';
import { followChain, type ChainedFlush } from './flush-chains.ts';

const follow = (links: readonly (readonly [number, number])[], settledBelow = 0) => {
  const flushes = links.map(([sequence, buildsOn]): ChainedFlush => ({ sequence, buildsOn }));
  const { kept, dead } = followChain(flushes, (sequence) => sequence < settledBelow);
  return { kept: kept.map(({ sequence }) => sequence), dead: dead.map(({ sequence }) => sequence) };
};

describe('followChain', () => {
  it('keeps a chain to its end, which nobody names', () => {
    expect(
      follow([
        [0, -1],
        [1, 0],
        [2, 1],
      ]),
    ).toEqual({ kept: [0, 1, 2], dead: [] });
  });

  it('F27 ii: drops what was rolled back before a later flush was closed', () => {
    expect(
      follow(
        [
          [5, 4],
          [7, 6],
          [8, 5],
        ],
        5,
      ),
    ).toEqual({ kept: [5, 8], dead: [7] });
  });

  it('drops what builds on a flush that is nowhere', () => {
    expect(
      follow(
        [
          [5, 4],
          [7, 6],
        ],
        5,
      ),
    ).toEqual({ kept: [5], dead: [7] });
    expect(follow([[7, 6]], 5)).toEqual({ kept: [], dead: [7] });
  });

  it('starts anywhere that is settled', () => {
    expect(follow([[41, 39]], 40)).toEqual({ kept: [41], dead: [] });
    expect(follow([[41, 40]], 40)).toEqual({ kept: [], dead: [41] });
  });

  it('keeps every committed flush of any history, whatever uploads failed, and nothing that failed before one that it keeps', () => {
    // Each step closes a flush; it is lost, uploaded but not committed, or committed. A failure rolls back everything closed after it.
    const step = fc.constantFrom('committed', 'uploaded', 'lost');
    fc.assert(
      fc.property(fc.array(fc.record({ outcome: step, batch: fc.nat(3) }), { maxLength: 30 }), (steps) => {
        const flushes: ChainedFlush[] = [];
        const committed: number[] = [];
        let [sequence, lastCommitted] = [0, -1];
        for (const { outcome, batch } of steps) {
          // A flush and some that were closed behind it while it was on its way.
          let buildsOn = lastCommitted;
          for (let behind = 0; behind <= batch; behind += 1) {
            const isPresent = outcome !== 'lost' || behind > 0;
            if (isPresent) flushes.push({ sequence, buildsOn });
            if (outcome === 'committed') {
              committed.push(sequence);
              lastCommitted = sequence;
            }
            buildsOn = sequence;
            sequence += 1;
          }
        }
        const { kept } = followChain(flushes, () => false);
        const sequences = kept.map((flush) => flush.sequence);
        expect(sequences.filter((one) => one <= lastCommitted)).toEqual(committed);
        // Behind the last committed one, at most one unnamed tail is kept.
        const tail = kept.filter((flush) => flush.sequence > lastCommitted);
        for (const [index, flush] of tail.entries()) {
          expect(flush.buildsOn).toBe(index === 0 ? lastCommitted : tail[index - 1]!.sequence);
        }
      }),
    );
  });
});
