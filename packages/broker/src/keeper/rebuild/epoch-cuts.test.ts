import { cutByHigherEpochs, type EpochExtent } from './epoch-cuts.ts';

const extent = (leaderEpoch: number, baseOffset: number, nextOffset: number): EpochExtent => ({
  leaderEpoch,
  baseOffset,
  nextOffset,
});

describe('cutByHigherEpochs', () => {
  it('cuts what a fenced owner left where its heir began', () => {
    const left = extent(1, 90, 100);
    const extents = [extent(1, 0, 90), left, extent(2, 90, 120)];
    expect([...cutByHigherEpochs(extents)]).toEqual([left]);
  });

  it('cuts through several epochs, by the lowest start of any higher one', () => {
    const dead = [extent(1, 50, 60), extent(2, 55, 70)];
    expect(cutByHigherEpochs([extent(0, 0, 50), ...dead, extent(3, 50, 90), extent(4, 90, 95)])).toEqual(new Set(dead));
  });

  it('cuts nothing of a log whose epochs follow each other', () => {
    expect(cutByHigherEpochs([extent(0, 0, 10), extent(0, 10, 20), extent(3, 20, 21)]).size).toBe(0);
    expect(cutByHigherEpochs([]).size).toBe(0);
  });

  it('is not led by an epoch that is itself cut', () => {
    const cut = extent(2, 30, 60);
    expect(cutByHigherEpochs([extent(1, 0, 40), cut, extent(3, 40, 50)])).toEqual(new Set([cut]));
  });
});
