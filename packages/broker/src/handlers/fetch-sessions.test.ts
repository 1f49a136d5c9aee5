import { ErrorCode } from '@kafscale/protocol';
import { seededRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import {
  FetchSessions,
  nextEpoch,
  type FetchNews,
  type FetchPartition,
  type SessionRequest,
} from './fetch-sessions.ts';

const topicId = 'dG9waWMtaWQtMDAwMDAwMQ';
const settings = { maxSessions: 2, evictionMs: 120_000, maxPartitions: 100 };

const part = (partition: number, fetchOffset = 0): FetchPartition => ({
  topic: 'orders',
  topicId,
  partition,
  currentLeaderEpoch: -1,
  fetchOffset,
  lastFetchedEpoch: -1,
  partitionMaxBytes: 1_000,
});
const parts = (count: number) => Array.from({ length: count }, (_, partition) => part(partition));
const news = (more: Partial<FetchNews> = {}): FetchNews => ({
  recordBytes: 0,
  highWatermark: 10,
  logStartOffset: 0,
  isError: false,
  isDiverging: false,
  isSentAway: false,
  ...more,
});
const request = (more: Partial<SessionRequest> = {}): SessionRequest => ({
  sessionId: 0,
  sessionEpoch: 0,
  usesTopicIds: true,
  partitions: [],
  forgotten: [],
  ...more,
});

function setUp(more: Partial<typeof settings> = {}) {
  const clock = new FakeClock();
  const sessions = new FetchSessions(clock, seededRandom(3), { ...settings, ...more });
  const open = (count: number) => {
    const partitions = parts(count);
    return sessions.begin(request({ partitions })).answer(partitions.map(() => news())).sessionId;
  };
  return { clock, sessions, open };
}

describe('a full fetch', () => {
  it('opens a session with epoch 0, and includes every partition', () => {
    const { sessions } = setUp();
    const context = sessions.begin(request({ partitions: parts(2) }));
    const { sessionId, isIncluded } = context.answer([news(), news({ isError: true })]);
    expect(sessionId).toBeGreaterThan(0);
    expect(isIncluded).toEqual([true, true]);
    expect(sessions).toMatchObject({ sessionCount: 1, partitionCount: 2 });
  });

  it('opens none with epoch -1', () => {
    const { sessions } = setUp();
    const context = sessions.begin(request({ sessionEpoch: -1, partitions: parts(1) }));
    expect(context.answer([news()])).toEqual({ sessionId: 0, isIncluded: [true] });
    expect(sessions.sessionCount).toBe(0);
  });

  it.each([0, -1])('closes the session it names (epoch %i)', (sessionEpoch) => {
    const { sessions, open } = setUp();
    const sessionId = open(2);
    sessions.begin(request({ sessionId, sessionEpoch, partitions: parts(1) }));
    expect(() => sessions.begin(request({ sessionId, sessionEpoch: 1 }))).toThrow(
      expect.objectContaining({ code: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }) as Error,
    );
    expect(sessions.partitionCount).toBe(0);
  });

  it('opens none for no partition', () => {
    expect(setUp().sessions.begin(request()).answer([])).toEqual({ sessionId: 0, isIncluded: [] });
  });
});

describe('an incremental fetch', () => {
  it('reads all partitions of the session and includes those with news', () => {
    const { sessions, open } = setUp();
    const sessionId = open(8);
    const context = sessions.begin(request({ sessionId, sessionEpoch: 1 }));
    expect(context.partitions).toEqual(parts(8));
    const { isIncluded } = context.answer([
      news(),
      news({ recordBytes: 5 }),
      news({ highWatermark: 11 }),
      news({ logStartOffset: 3 }),
      news({ isError: true }),
      news({ isDiverging: true }),
      news({ isSentAway: true }),
      news(),
    ]);
    expect(isIncluded).toEqual([false, true, true, true, true, true, true, false]);
  });

  it('tells what changed once, and a partition again after its error', () => {
    const { sessions, open } = setUp();
    const sessionId = open(2);
    const answers = [
      [news({ highWatermark: 12 }), news({ isError: true })],
      [news({ highWatermark: 12 }), news({ isError: true })],
      [news({ highWatermark: 12 }), news()],
      [news({ highWatermark: 12 }), news()],
    ].map((told, index) => sessions.begin(request({ sessionId, sessionEpoch: index + 1 })).answer(told).isIncluded);
    expect(answers).toEqual([
      [true, true],
      [false, true],
      [false, true],
      [false, false],
    ]);
  });

  it('adds, changes and forgets partitions', () => {
    const { sessions, open } = setUp();
    const sessionId = open(3);
    const context = sessions.begin(
      request({ sessionId, sessionEpoch: 1, partitions: [part(1, 50), part(9, 5)], forgotten: [part(0)] }),
    );
    expect(context.partitions).toEqual([part(1, 50), part(2), part(9, 5)]);
    expect(context.answer([news(), news(), news()]).isIncluded).toEqual([false, false, true]);
    expect(sessions.partitionCount).toBe(3);
  });

  it('ends the session when nothing is left in it', () => {
    const { sessions, open } = setUp();
    const sessionId = open(1);
    const context = sessions.begin(request({ sessionId, sessionEpoch: 1, forgotten: [part(0)] }));
    expect(context.answer([])).toEqual({ sessionId: 0, isIncluded: [] });
    expect(sessions).toMatchObject({ sessionCount: 0, partitionCount: 0 });
  });

  it('puts partitions that gave records behind the others', () => {
    const { sessions, open } = setUp();
    const sessionId = open(3);
    sessions.begin(request({ sessionId, sessionEpoch: 1 })).answer([news({ recordBytes: 9 }), news(), news()]);
    const next = sessions.begin(request({ sessionId, sessionEpoch: 2 }));
    expect(next.partitions.map(({ partition }) => partition)).toEqual([1, 2, 0]);
  });

  it.each([2, 5])('refuses epoch %i where 1 is due', (sessionEpoch) => {
    const { sessions, open } = setUp();
    const sessionId = open(1);
    expect(() => sessions.begin(request({ sessionId, sessionEpoch }))).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_FETCH_SESSION_EPOCH }) as Error,
    );
  });

  it('refuses the epoch that was used already', () => {
    const { sessions, open } = setUp();
    const sessionId = open(1);
    sessions.begin(request({ sessionId, sessionEpoch: 1 })).answer([news()]);
    expect(() => sessions.begin(request({ sessionId, sessionEpoch: 1 }))).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_FETCH_SESSION_EPOCH }) as Error,
    );
  });

  it('refuses a session that is not known', () => {
    expect(() => setUp().sessions.begin(request({ sessionId: 4, sessionEpoch: 1 }))).toThrow(
      expect.objectContaining({ code: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }) as Error,
    );
  });

  it('refuses a client that changes between names and ids', () => {
    const { sessions, open } = setUp();
    const sessionId = open(1);
    expect(() => sessions.begin(request({ sessionId, sessionEpoch: 1, usesTopicIds: false }))).toThrow(
      expect.objectContaining({ code: ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR }) as Error,
    );
  });

  it('fails when another request used the session before its answer', () => {
    const { sessions, open } = setUp();
    const sessionId = open(1);
    const slow = sessions.begin(request({ sessionId, sessionEpoch: 1 }));
    sessions.begin(request({ sessionId, sessionEpoch: 2 })).answer([news()]);
    expect(() => slow.answer([news()])).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_FETCH_SESSION_EPOCH }) as Error,
    );
  });

  it('goes on with epoch 1 after the largest one', () => {
    expect([0, 1, 2 ** 31 - 2, 2 ** 31 - 1].map(nextEpoch)).toEqual([1, 2, 2 ** 31 - 1, 1]);
  });
});

describe('when there is no room for a session', () => {
  it('fetches go on without one', () => {
    const { sessions, open } = setUp();
    expect([open(3) > 0, open(3) > 0, open(4)]).toEqual([true, true, 0]);
    expect(sessions.sessionCount).toBe(2);
  });

  it('the one unused for longest gives way after two minutes', () => {
    const { clock, sessions, open } = setUp();
    const [first, second] = [open(3), open(3)];
    clock.advance(100_000);
    sessions.begin(request({ sessionId: first, sessionEpoch: 1 })).answer(parts(3).map(() => news()));
    clock.advance(20_001);
    expect(open(1)).toBeGreaterThan(0);
    sessions.begin(request({ sessionId: first, sessionEpoch: 2 }));
    expect(() => sessions.begin(request({ sessionId: second, sessionEpoch: 1 }))).toThrow();
  });

  it('one that is in use but older than two minutes gives way to a larger one only', () => {
    const { clock, sessions, open } = setUp();
    const ids = [open(3), open(5)];
    clock.advance(120_001 - 1);
    for (const sessionId of ids) sessions.begin(request({ sessionId, sessionEpoch: 1 }));
    clock.advance(1);
    expect(open(3)).toBe(0);
    expect(open(4)).toBeGreaterThan(0);
    expect(() => sessions.begin(request({ sessionId: ids[0]!, sessionEpoch: 2 }))).toThrow();
    sessions.begin(request({ sessionId: ids[1]!, sessionEpoch: 2 }));
  });

  it('partitions of all sessions together are bounded', () => {
    const { sessions, open } = setUp({ maxPartitions: 10 });
    const sessionId = open(6);
    expect(open(5)).toBe(0);
    expect(() => sessions.begin(request({ sessionId, sessionEpoch: 1, partitions: parts(11) }))).toThrow(
      expect.objectContaining({ code: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }) as Error,
    );
    expect(sessions).toMatchObject({ sessionCount: 0, partitionCount: 0 });
  });

  it('is never any when none may be kept', () => {
    expect(setUp({ maxSessions: 0 }).open(1)).toBe(0);
  });
});
