import { loadPlanted } from './planted-copy.model.ts';
import { plants } from './plants.model.ts';
import type { Violation } from './violation.model.ts';

const maxSchedules = 5_000;

describe('the model finds', () => {
  it.each(plants)(
    '$bug',
    async (plant) => {
      const runSchedule = await loadPlanted(plant);
      let found: Violation | undefined;
      for (let seed = 0; seed < maxSchedules && found === undefined; seed += 1) {
        found = (await runSchedule(seed)).violations[0];
      }
      expect(plant.shows).toContain(found?.kind);
    },
    300_000,
  );
});
