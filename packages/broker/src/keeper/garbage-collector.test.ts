import { scenarios } from './garbage-scenarios.ts';

describe('GarbageCollector', () => {
  it.each(scenarios)('$name', async ({ run }) => {
    expect(await run()).toBeUndefined();
  });
});
