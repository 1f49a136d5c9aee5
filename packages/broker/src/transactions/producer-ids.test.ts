import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { FakeClock } from '@kafscale/testkit';
import { ProducerIds } from './producer-ids.ts';

const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 5_000 };

describe('ProducerIds', () => {
  it('never hands an id out twice, also not from two brokers or after a restart', async () => {
    const clock = new FakeClock();
    const store = new MemoryMetadataStore({ clock });
    const ids = new Set<bigint>();
    for (const incarnations of [
      ['a', 'b'],
      ['c', 'd'],
    ]) {
      const sources = await Promise.all(
        incarnations.map(async (incarnation) => {
          const session = await Session.open(incarnation, { store, clock, settings });
          return new ProducerIds({ store, lane: session.lane('coordinator') });
        }),
      );
      const drawn = await Promise.all(sources.flatMap((source) => Array.from({ length: 1_500 }, () => source.next())));
      for (const id of drawn) ids.add(id);
    }
    expect(ids.size).toBe(6_000);
  });

  it('gives each of many brokers that start at once an id', async () => {
    const clock = new FakeClock();
    const store = new MemoryMetadataStore({ clock });
    const starting = Array.from({ length: 30 }, async (_, broker) => {
      const session = await Session.open(`broker-${broker}`, { store, clock, settings });
      return new ProducerIds({ store, lane: session.lane('coordinator') });
    });
    const sources = await Promise.all(starting);
    const ids = await clock.runUntilSettled(Promise.all(sources.map((source) => source.next())));
    expect(new Set(ids).size).toBe(30);
  });
});
