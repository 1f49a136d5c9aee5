import { play, playsOneSeed, rareEvents, seedsOfShard } from './schedules.model.ts';
import { runSchedule } from './world.model.ts';

/** Half of the schedules; the other half is in write-path-odd.test.ts. */
describe('the write path under crashes, delays, failures and unknown outcomes', () => {
  it('keeps its promises in every schedule, and every kind of trouble is common', async () => {
    const played = await play(seedsOfShard(0));
    expect(played.failures).toEqual([]);
    if (!playsOneSeed) expect(rareEvents(played, 100)).toEqual([]);
  }, 900_000);

  it('plays a seed the same way every time', async () => {
    const [first, second] = [await runSchedule(11), await runSchedule(11)];
    expect(String(first.events)).toBe(String(second.events));
  });
});
