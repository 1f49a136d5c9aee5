import { ErrorCode } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import type { CancelTimer } from '@kafscale/runtime';
import type { GroupAnswer, JoinEvent } from './classic/group-model.ts';
import { emptyGroup } from './classic-group.ts';
import { LiveGroup } from './live-group.ts';

/** Timers that come a little early, as the system's do on some runtimes. */
class HastyClock extends FakeClock {
  override schedule(delayMs: number, callback: () => void): CancelTimer {
    return super.schedule(delayMs > 1 ? delayMs - 0.5 : delayMs, callback);
  }
}

const settings = { groupInitialRebalanceDelayMs: 0, groupMaxSize: 100, groupMetadataMaxBytes: 10_000 };
const newMemberJoinTimeoutMs = 300_000;

const joinOf = (memberId: string): JoinEvent => ({
  type: 'join',
  requestId: 1,
  memberId: '',
  newMemberId: memberId,
  groupInstanceId: null,
  clientId: 'client',
  clientHost: 'host',
  sessionTimeoutMs: 1_000_000,
  rebalanceTimeoutMs: 10_000,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: Buffer.from('m') }],
  requiresKnownMemberId: false,
  supportsSkippingAssignment: false,
});

describe('LiveGroup', () => {
  it('keeps its timers when one comes early and while a record is being stored', async () => {
    const clock = new HastyClock();
    const stored: (() => void)[] = [];
    const answers: GroupAnswer[] = [];
    const live = new LiveGroup(emptyGroup('g', clock.wallMs()), {
      clock,
      settings,
      store: () => new Promise((resolve) => stored.push(resolve)),
      answer: (_requestId, answer) => answers.push(answer),
    });
    live.handle(joinOf('member'));
    await clock.advanceAsync(0);
    expect(stored).toHaveLength(1);
    await clock.advanceAsync(newMemberJoinTimeoutMs - 0.2); // its timer came 0.3 ms ago, and it is not due
    stored[0]!();
    await settled();
    expect(answers).toMatchObject([{ type: 'join', errorCode: ErrorCode.NONE, generation: 1 }]);
    expect(live.group.state).toBe('CompletingRebalance');

    // The member never syncs: after the rebalance timeout it is dropped, which is stored.
    await clock.advanceAsync(10_001);
    expect(stored).toHaveLength(2);
    stored[1]!();
    await settled();
    expect(live.group).toMatchObject({ state: 'Empty', members: new Map() });
    live.close();
  });
});
