import { mapConcurrently } from './map-concurrently.ts';

describe('mapConcurrently', () => {
  it('gives results in the order of the items, never with more at once than allowed', async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 4, 2, 3], 2, async (item, index) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
      running -= 1;
      return `${index}:${item}`;
    });
    expect(results).toEqual(['0:5', '1:1', '2:4', '3:2', '4:3']);
    expect(most).toBe(2);
  });

  it('begins nothing after a failure, and waits for what it began', async () => {
    const begun: number[] = [];
    let ended = 0;
    const outcome = mapConcurrently([0, 1, 2, 3], 2, async (item) => {
      begun.push(item);
      for (let turn = 0; turn < 3 * item; turn += 1) await Promise.resolve();
      ended += 1;
      if (item === 0) throw new Error('no');
    });
    await expect(outcome).rejects.toThrow('no');
    expect([begun, ended]).toEqual([[0, 1], 2]);
  });

  it('has nothing to do for no items', async () => {
    expect(await mapConcurrently([], 3, () => Promise.reject(new Error('never')))).toEqual([]);
  });
});
