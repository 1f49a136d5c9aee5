import { settled } from '@kafscale/testkit';
import { CoalescedRead } from './coalesced-read.ts';

/** Reads that end one by one, each answering its number. */
function setUp() {
  const ends: { answer: () => void; fail: () => void }[] = [];
  const coalesced = new CoalescedRead(
    () =>
      new Promise<number>((resolve, reject) => {
        const number = ends.length;
        ends.push({ answer: () => resolve(number), fail: () => reject(new Error(`read ${number}`)) });
      }),
  );
  return { coalesced, ends };
}

describe('a coalesced read', () => {
  it('begins anew after the one under way, once for all who came meanwhile', async () => {
    const { coalesced, ends } = setUp();
    const first = coalesced.afterNow();
    const later = [coalesced.afterNow(), coalesced.afterNow()];
    expect(ends).toHaveLength(1);
    ends[0]!.answer();
    expect(await first).toBe(0);
    await settled();
    expect(ends).toHaveLength(2);
    ends[1]!.answer();
    expect(await Promise.all(later)).toEqual([1, 1]);
    void coalesced.afterNow();
    expect(ends).toHaveLength(3);
  });

  it('fails only those who asked for it', async () => {
    const { coalesced, ends } = setUp();
    const first = coalesced.afterNow();
    const second = coalesced.afterNow();
    ends[0]!.fail();
    await expect(first).rejects.toThrow('read 0');
    await settled();
    ends[1]!.answer();
    expect(await second).toBe(1);
  });
});
