import { endOfEpoch, epochAt } from './leader-epochs.ts';
import { makeLog } from './read/log-fixture.ts';

/** Epochs 2, 5 and 7 wrote [0, 10), [10, 25) and [25, 40); the current owner's epoch is 9. */
const log = (logStartOffset = 0, leaderEpoch = 9) =>
  makeLog(
    { leaderEpoch },
    {
      logStartOffset,
      nextOffset: 40,
      epochStarts: [
        { leaderEpoch: 2, startOffset: 0 },
        { leaderEpoch: 5, startOffset: 10 },
        { leaderEpoch: 7, startOffset: 25 },
      ],
    },
  );

describe('the end of a leader epoch', () => {
  it('is where the next one starts', () => {
    expect(endOfEpoch(log(), 2)).toEqual({ leaderEpoch: 2, endOffset: 10 });
    expect(endOfEpoch(log(), 5)).toEqual({ leaderEpoch: 5, endOffset: 25 });
  });

  it('is the high watermark for the current epoch, with or without records of it', () => {
    expect(endOfEpoch(log(), 9)).toEqual({ leaderEpoch: 9, endOffset: 40 });
    expect(endOfEpoch(log(0, 7), 7)).toEqual({ leaderEpoch: 7, endOffset: 40 });
    expect(endOfEpoch(makeLog({ leaderEpoch: 3 }), 3)).toEqual({ leaderEpoch: 3, endOffset: 0 });
  });

  it('is the high watermark for the last epoch before one without records', () => {
    expect(endOfEpoch(log(), 7)).toEqual({ leaderEpoch: 7, endOffset: 40 });
  });

  it('belongs to the epoch below, for one that wrote nothing', () => {
    expect(endOfEpoch(log(), 3)).toEqual({ leaderEpoch: 2, endOffset: 10 });
    expect(endOfEpoch(log(), 8)).toEqual({ leaderEpoch: 7, endOffset: 40 });
  });

  it('is the start of the first known epoch, for an older one', () => {
    expect(endOfEpoch(log(), 1)).toEqual({ leaderEpoch: 1, endOffset: 0 });
    expect(endOfEpoch(log(12), 2)).toEqual({ leaderEpoch: 2, endOffset: 12 });
    expect(endOfEpoch(log(40), 7)).toEqual({ leaderEpoch: 7, endOffset: 40 });
  });

  it('is unknown for no epoch and for one that is yet to come', () => {
    expect(endOfEpoch(log(), -1)).toBeUndefined();
    expect(endOfEpoch(log(), 10)).toBeUndefined();
  });
});

describe('the epoch of an offset', () => {
  it('is the one in which its record was written', () => {
    expect([0, 9, 10, 24, 25, 39].map((offset) => epochAt(log(), offset))).toEqual([2, 2, 5, 5, 7, 7]);
  });

  it('is the current one at the high watermark', () => {
    expect(epochAt(log(), 40)).toBe(9);
    expect(epochAt(makeLog({ leaderEpoch: 3 }), 0)).toBe(3);
  });
});
