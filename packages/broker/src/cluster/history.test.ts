import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import type { Revision } from '../metadata/metadata-store.ts';
import { History, historyLookMs } from './history.ts';

const minute = 60_000;

/** A store that is written to all the time and looked after, so full as `share` says. */
function start(share: () => number | undefined) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const compacted: { readonly atMs: number; readonly historyMs: number }[] = [];
  const writtenMs = new Map<Revision, number>();
  const quotaBytes = 1_000;
  const watched = Object.assign(Object.create(store) as MemoryMetadataStore, {
    range: store.range.bind(store),
    grantLease: store.grantLease.bind(store),
    revokeLease: store.revokeLease.bind(store),
    usage: () => {
      const used = share();
      const bytes = (used ?? 0) * quotaBytes;
      return Promise.resolve({ sizeBytes: 900, inUseBytes: bytes, ...(used !== undefined && { quotaBytes }) });
    },
    compact: async (revision: Revision) => {
      await store.compact(revision);
      compacted.push({ atMs: clock.monotonicMs(), historyMs: clock.monotonicMs() - writtenMs.get(revision)! });
    },
  });
  const history = new History({ store: watched, clock, callDeadlineMs: 1_000, historyMs: 3 * minute });
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += historyLookMs) {
      const put = { type: 'put', key: 'a', value: Buffer.alloc(1) } as const;
      const { revision } = await store.transact({ compare: [], success: [put] });
      writtenMs.set(revision, clock.monotonicMs());
      await history.look();
      await clock.advanceAsync(historyLookMs);
    }
  };
  return { compacted, pass };
}

describe('History', () => {
  it.each([0.1, undefined])('is kept for a few minutes where there is room (%s of the quota)', async (share) => {
    const { compacted, pass } = start(() => share);
    await pass(30 * minute);
    expect(compacted).toHaveLength(10 - 1);
    for (const { historyMs } of compacted) expect(historyMs).toBe(3 * minute);
  });

  it('is cut to a minute, again and again, while it fills the quota', async () => {
    let share = 0.1;
    const { compacted, pass } = start(() => share);
    await pass(5 * minute);
    share = 0.36;
    const before = compacted.length;
    await pass(2 * minute);
    const crowded = compacted.slice(before);
    expect(crowded).toHaveLength(8);
    for (const { historyMs } of crowded) expect(historyMs).toBe(minute);
    share = 0.3;
    await pass(2 * minute);
    expect(compacted).toHaveLength(before + 8);
  });
});
