import { play, playsOneSeed, rareEvents, seedsOfShard } from './schedules.model.ts';

/** Half of the schedules; the other half is in write-path-even.test.ts. */
describe('the write path under crashes, delays, failures and unknown outcomes', () => {
  it('keeps its promises in every schedule, and every kind of trouble is common', async () => {
    const played = await play(seedsOfShard(1));
    expect(played.failures).toEqual([]);
    if (!playsOneSeed) expect(rareEvents(played, 100)).toEqual([]);
  }, 900_000);
});
