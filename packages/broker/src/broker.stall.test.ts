/**
 * A broker whose event loop stands still for longer than its session, while another takes over what it owned: whatever it is asked before
 * its timers run again, and whatever it was asked before it stood still, it answers nothing as the owner (COMMIT.md F18).
 */
import { jest } from '@jest/globals';
import {
  describeError,
  ErrorCode,
  listOffsets,
  metadataPrefixes,
  offsetCommit,
  offsetFetch,
  offsetForLeaderEpoch,
  splitBatches,
  zeroUuid,
} from '@kafscale/protocol';
import { silentLogger, systemClock, type CancelTimer, type Clock } from '@kafscale/runtime';
import { eventually, type RawClient } from '@kafscale/testkit';
import { batch, createTopic, fetchFrom, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture } from './cluster-fixture.ts';
import { prefixEnd } from './metadata/metadata-store.ts';
import { FaultyObjectStore } from './storage/faulty-object-store.ts';

jest.setTimeout(60_000);

const topic = 't';
/** Longer than a busy machine keeps a process waiting. */
const sessionTtlMs = 30_000;
const sessions = { key: metadataPrefixes.sessions, end: prefixEnd(metadataPrefixes.sessions) };

let cluster: ClusterFixture;
let finishUpload: () => void = () => undefined;
afterEach(() => {
  finishUpload();
  return cluster.closeAll();
});

/** Time as a process has it that is stopped: none passes and no timer fires; then all of it has passed, and timers come last. */
class StoppableClock implements Clock {
  #leaptMs = 0;
  #stoppedMs: number | undefined;
  #held: (() => void)[] | undefined;

  stop(): void {
    this.#stoppedMs = this.monotonicMs();
    this.#held = [];
  }

  wakeUp(afterMs: number): void {
    this.#stoppedMs = undefined;
    this.#leaptMs += afterMs;
  }

  runTimers(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const callback of held) callback();
  }

  monotonicMs(): number {
    return this.#stoppedMs ?? systemClock.monotonicMs() + this.#leaptMs;
  }

  wallMs(): number {
    return systemClock.wallMs();
  }

  schedule(delayMs: number, callback: () => void): CancelTimer {
    let isCancelled = false;
    const cancel = systemClock.schedule(delayMs, () => {
      if (this.#held === undefined) callback();
      else this.#held.push(() => !isCancelled && callback());
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const onAbort = () => {
        cancel();
        reject(signal?.reason as Error);
      };
      const cancel = this.schedule(delayMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

const commitOffset = async (client: RawClient, groupId: string, offset: bigint) => {
  const committed = { committedOffset: offset, committedLeaderEpoch: -1, commitTimestamp: -1n, committedMetadata: '' };
  const { topics } = await client.request(offsetCommit, 8, {
    ...{ groupId, generationIdOrMemberEpoch: -1, memberId: '', groupInstanceId: null, retentionTimeMs: -1n },
    topics: [{ name: topic, topicId: zeroUuid, partitions: [{ partitionIndex: 0, ...committed }] }],
  });
  return topics[0]!.partitions[0]!.errorCode;
};

const committedOffset = async (client: RawClient, groupId: string) => {
  const topics = [{ name: topic, topicId: zeroUuid, partitionIndexes: [0] }];
  const { groups } = await client.request(offsetFetch, 8, {
    ...{ groupId: '', topics: [], requireStable: false },
    groups: [{ groupId, memberId: null, memberEpoch: -1, topics }],
  });
  const { errorCode, topics: found } = groups[0]!;
  return { errorCode, offset: found[0]?.partitions[0]?.committedOffset };
};

const offsetAt = async (client: RawClient, timestamp: bigint) => {
  const partitions = [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp, maxNumOffsets: 1 }];
  const asked = { replicaId: -1, isolationLevel: 0, topics: [{ name: topic, partitions }], timeoutMs: 1_000 };
  const answer = await client.request(listOffsets, 7, asked);
  return answer.topics[0]!.partitions[0]!.errorCode;
};

const endOfEpoch = async (client: RawClient) => {
  const partitions = [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }];
  const answer = await client.request(offsetForLeaderEpoch, 3, { replicaId: -1, topics: [{ topic, partitions }] });
  return answer.topics[0]!.partitions[0]!.errorCode;
};

const nameOf = (errorCode: ErrorCode) => describeError(errorCode).name;

/** The error, or `none` when the connection is closed without an answer, as it may be. */
const answerTo = (request: Promise<{ readonly errorCode: ErrorCode }>): Promise<string> =>
  request.then(
    ({ errorCode }) => nameOf(errorCode),
    () => 'none',
  );

describe('a broker that stood still for longer than its session', () => {
  it('answers nothing as the owner, neither what was queued nor what it was asked before', async () => {
    cluster = new ClusterFixture();
    const clock = new StoppableClock();
    const objects = new FaultyObjectStore(cluster.objects, { clock: systemClock });
    objects.close = () => Promise.resolve();
    const settings = { rebalanceDelayMs: 600_000, sessionTtlMs };
    const stalled = await cluster.add(settings, silentLogger, objects, clock);
    const own = () => cluster.connect(stalled);
    await createTopic(await own(), topic, 1);
    const writer = await own();
    for (const value of ['a', 'b', 'c']) await produceTo(writer, topic, 0, batch([value]));
    const groupId = await cluster.groupAt(stalled);
    expect(await commitOffset(writer, groupId, 1n)).toBe(ErrorCode.NONE);
    const [session] = (await cluster.store.range(sessions)).items;
    const other = await cluster.add(settings);
    const [fetchClient, produceClient, commitClient] = [await own(), await own(), await own()];
    const queued = await Promise.all(Array.from({ length: 9 }, own));

    // Under way when the loop stops: a fetch that waits, a batch that is being uploaded, an offset that is being committed.
    const waiting = answerTo(fetchFrom(fetchClient, topic, 0, { offset: 3, maxWaitMs: 30_000, minBytes: 1 }));
    let isUploading = false;
    const uploadMayEnd = new Promise<void>((resolve) => (finishUpload = resolve));
    const create = objects.create.bind(objects);
    objects.create = async (...upload) => {
      isUploading = true;
      await uploadMayEnd;
      return create(...upload);
    };
    const produced = answerTo(produceTo(produceClient, topic, 0, batch(['never acknowledged'])));
    await eventually('the upload is under way', () => isUploading);
    stalled.cutOff();
    stalled.deafen();
    const committed = answerTo(commitOffset(commitClient, groupId, 2n).then((errorCode) => ({ errorCode })));
    clock.stop();
    await cluster.store.revokeLease(session!.leaseId!); // as when it runs out

    await eventually('another broker leads', async () => (await cluster.leaderOf(topic, 0, other)) === other.id);
    await eventually('and coordinates', async () => (await cluster.coordinatorOf(groupId, other)) === other);
    const successor = await cluster.connect(other);
    expect(await produceTo(successor, topic, 0, batch(['d']))).toMatchObject({ errorCode: 0, baseOffset: 3 });
    await eventually('an offset is committed', async () => {
      return (await commitOffset(successor, groupId, 4n)) === ErrorCode.NONE;
    });

    stalled.heal();
    clock.wakeUp(sessionTtlMs);
    const [first, second, third, fourth, fifth, sixth, seventh, eighth, ninth] = queued as [RawClient, ...RawClient[]];
    const answers = await Promise.all([
      fetchFrom(first, topic, 0, { offset: 0, maxWaitMs: 0 }),
      fetchFrom(second!, topic, 0, { offset: 3, maxWaitMs: 0 }),
      fetchFrom(third!, topic, 0, { offset: 4, maxWaitMs: 0 }),
      produceTo(fourth!, topic, 0, batch(['refused'])),
    ]);
    expect(answers.map(({ errorCode }) => nameOf(errorCode))).toEqual(topicErrors(4));
    const lookUps = await Promise.all([offsetAt(fifth!, -1n), offsetAt(sixth!, -2n), endOfEpoch(seventh!)]);
    expect(lookUps.map(nameOf)).toEqual(topicErrors(3));
    const offset = await committedOffset(eighth!, groupId);
    expect(nameOf(offset.errorCode)).toBe('NOT_COORDINATOR');
    expect(nameOf(await commitOffset(ninth!, groupId, 3n))).toBe('NOT_COORDINATOR');

    finishUpload();
    clock.runTimers();
    expect(['none', 'NOT_LEADER_OR_FOLLOWER']).toContain(await produced);
    expect(['none', 'NOT_LEADER_OR_FOLLOWER']).toContain(await waiting);
    expect(['none', 'NOT_COORDINATOR']).toContain(await committed);

    const { batches } = splitBatches(await readAll(successor, topic, 0));
    expect(batches.map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2, 3]);
    expect(await committedOffset(successor, groupId)).toEqual({ errorCode: ErrorCode.NONE, offset: 4n });
  });
});

const topicErrors = (count: number) => Array.from({ length: count }, () => 'NOT_LEADER_OR_FOLLOWER');
