import { FakeClock } from '@kafscale/testkit';
import { FaultyMetadataStore } from './faulty-metadata-store.ts';
import { MemoryMetadataStore } from './memory-metadata-store.ts';
import { Session } from './session.ts';

const settings = { ttlMs: 10_000, callDeadlineMs: 5_000, settleDeadlineMs: 10_000 };

async function setUp() {
  const clock = new FakeClock();
  const store = new FaultyMetadataStore(new MemoryMetadataStore({ clock }), { clock });
  const session = await Session.open('incarnation-1', { store, clock, settings });
  return { clock, store, session };
}

describe('Session', () => {
  it('outlives a store that leaves two keepalives without an answer', async () => {
    const { clock, store, session } = await setUp();
    let keepAlives = 0;
    store.plan = ({ operation }) => {
      if (operation !== 'keepAlive') return 'ok';
      keepAlives += 1;
      return keepAlives <= 2 ? 'hang' : 'ok';
    };
    for (let passedMs = 0; passedMs < 30_000; passedMs += 50) {
      await clock.advanceAsync(50);
      expect(session.alive).toBe(true);
    }
    expect(keepAlives).toBeGreaterThan(2);
  });

  it('ends soon after a store answers again that had stood still for longer than its time', async () => {
    const { clock, store, session } = await setUp();
    store.plan = () => 'hang';
    await clock.advanceAsync(60_000);
    expect(session.alive).toBe(false);
    expect(session.endReason).toBeUndefined();
    store.heal();
    await clock.advanceAsync(3_000);
    expect(session.endReason).toMatchObject({ kind: 'fenced' });
  });
});
