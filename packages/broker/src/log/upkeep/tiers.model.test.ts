import { TiersWorld } from './tiers-world.model.ts';

const schedules = Number(process.env.KAFSCALE_MODEL_SCHEDULES ?? 20);
const seeds = Array.from({ length: Math.min(schedules, 2_000) }, (_, seed) => seed + 1);

describe('the storage tiers under crashes, hand-overs, lost replies and late deliveries', () => {
  it('lose nothing, give no offset twice, forget no producer, and stay small', async () => {
    const failures: string[] = [];
    const totals: Record<string, number> = {};
    const most = { manifests: 0, shelves: 0, largestRecord: 0 };
    for (const seed of seeds) {
      const world = new TiersWorld(seed);
      await world.run(150);
      if (world.violations.length > 0) failures.push(`seed ${seed}: ${String(world.violations[0])}`);
      for (const [name, count] of Object.entries(world.counts)) totals[name] = (totals[name] ?? 0) + count;
      const left = await world.leftovers();
      most.manifests = Math.max(most.manifests, left.manifests);
      most.shelves = Math.max(most.shelves, left.shelves);
      most.largestRecord = Math.max(most.largestRecord, left.largestRecord);
    }
    expect(failures).toEqual([]);
    for (const [name, count] of Object.entries(totals)) expect([name, count > 10]).toEqual([name, true]);
    expect(most.manifests).toBeLessThan(30);
    expect(most.shelves).toBeLessThan(20);
    expect(most.largestRecord).toBeLessThan(4_096);
  }, 600_000);
});
