/** What a consumer is given: the right bytes from wherever they lie, in the right amounts, and true words about where the log is. */
import { jest } from '@jest/globals';
import {
  deleteRecords,
  deleteTopics,
  encodeRecordBatch,
  ErrorCode,
  fetch,
  listOffsets,
  offsetForLeaderEpoch,
  produce,
  zeroUuid,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import type { RunningBroker } from './broker.ts';
import {
  batch,
  batchesOf,
  BrokerFixture,
  bytesOf,
  createTopic,
  fetchFrom,
  fetchRequest,
  leaderEpochOf,
  produceRequest,
  produceTo,
  readAll,
  type FetchPlan,
} from './broker-fixture.ts';

jest.setTimeout(30_000);

const lastFetchVersion = fetch.versions[1];
const timestamps = { latest: -1n, earliest: -2n, max: -3n, earliestLocal: -4n, latestTiered: -5n, pendingUpload: -6n };

/** Offset, timestamp and epoch at a timestamp. */
async function offsetAt(client: RawClient, topic: string, timestamp: bigint, version = 8, partitionIndex = 0) {
  const { topics } = await client.request(listOffsets, version, {
    replicaId: -1,
    isolationLevel: 0,
    timeoutMs: 1_000,
    topics: [{ name: topic, partitions: [{ partitionIndex, currentLeaderEpoch: -1, timestamp, maxNumOffsets: 10 }] }],
  });
  const { errorCode, offset, timestamp: found, leaderEpoch, oldStyleOffsets } = topics[0]!.partitions[0]!;
  return { errorCode, offset, timestamp: Number(found), leaderEpoch, oldStyleOffsets };
}

async function deleteUpTo(client: RawClient, topic: string, offset: number) {
  const { topics } = await client.request(deleteRecords, 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset }] }],
    timeoutMs: 1_000,
  });
  const { errorCode, lowWatermark } = topics[0]!.partitions[0]!;
  return { errorCode, lowWatermark };
}

describe('Fetch, from the whole broker', () => {
  const fixture = new BrokerFixture();
  let broker: RunningBroker;
  let client: RawClient;

  beforeAll(async () => {
    broker = await fixture.start();
    client = await fixture.connect(broker);
  });

  afterAll(() => fixture.closeAll());

  /** A topic with ten batches of three records; offsets 0 to 29. */
  const filledTopic = async (name: string): Promise<string> => {
    const topicId = await createTopic(client, name);
    for (let index = 0; index < 10; index += 1) {
      await produceTo(client, name, 0, batch([`${index}a`, `${index}b`, `${index}c`]));
    }
    return topicId;
  };
  const offsetsOf = async (topic: string, plan: FetchPlan): Promise<number[]> =>
    batchesOf(await fetchFrom(client, topic, 0, plan)).map(({ baseOffset }) => baseOffset);

  it.each([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18])('reads a log at version %i', async (version) => {
    const name = `read-at-${version}`;
    const topicId = await createTopic(client, name);
    await produceTo(client, name, 0, batch(['a', 'b']));
    const fetched = await fetchFrom(
      client,
      name,
      0,
      { offset: 0, topicId: version >= 13 ? topicId : zeroUuid },
      version,
    );
    expect(batchesOf(fetched).map(({ baseOffset, nextOffset }) => [baseOffset, nextOffset])).toEqual([[0, 2]]);
    expect(fetched).toMatchObject({ errorCode: 0, highWatermark: 2, lastStableOffset: 2 });
  });

  it('reads from the start, from the middle of a batch and at the end', async () => {
    await filledTopic('positions');
    expect(await offsetsOf('positions', { offset: 0 })).toEqual([0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
    expect(await offsetsOf('positions', { offset: 25 })).toEqual([24, 27]);
    expect(await offsetsOf('positions', { offset: 29 })).toEqual([27]);
    expect(await offsetsOf('positions', { offset: 30 })).toEqual([]);
  });

  it.each([-1, 31, Number.MAX_SAFE_INTEGER])(
    'answers OFFSET_OUT_OF_RANGE for offset %d outside of the log',
    async (offset) => {
      const name = `range-${offset}`;
      await filledTopic(name);
      const { errorCode, highWatermark, records } = await fetchFrom(client, name, 0, { offset });
      expect({ errorCode, highWatermark, bytes: Buffer.concat(records ?? []).length }).toEqual({
        errorCode: ErrorCode.OFFSET_OUT_OF_RANGE,
        highWatermark: -1,
        bytes: 0,
      });
    },
  );

  it('gives one whole batch even above the limits, and whole batches below them', async () => {
    await filledTopic('limits');
    const [first, second] = batchesOf(await fetchFrom(client, 'limits', 0, { offset: 0 }));
    const two = first!.sizeInBytes + second!.sizeInBytes;
    expect(await offsetsOf('limits', { offset: 0, maxBytes: 1 })).toEqual([0]);
    expect(await offsetsOf('limits', { offset: 0, partitionMaxBytes: 1 })).toEqual([0]);
    expect(await offsetsOf('limits', { offset: 0, partitionMaxBytes: two })).toEqual([0, 3]);
    expect(await offsetsOf('limits', { offset: 0, maxBytes: two })).toEqual([0, 3]);
    expect(
      await offsetsOf('limits', { offset: 0, maxBytes: -1, minBytes: 2 ** 31 - 1, partitionMaxBytes: -5 }),
    ).toEqual([0]);
  });

  it('tells the end of the log behind a produce that came before on the connection', async () => {
    await createTopic(client, 'behind-a-produce');
    const produced = produceTo(client, 'behind-a-produce', 0, batch(['a', 'b']));
    const { offset } = await offsetAt(client, 'behind-a-produce', timestamps.latest);
    expect(offset).toBe(2);
    await produced;
  });

  it('is woken by a produce while it waits', async () => {
    await createTopic(client, 'woken');
    const consumer = await fixture.connect(broker);
    const fetched = fetchFrom(consumer, 'woken', 0, { offset: 0, minBytes: 1, maxWaitMs: 20_000 });
    await produceTo(client, 'woken', 0, batch(['news']));
    expect(batchesOf(await fetched).map(({ baseOffset }) => baseOffset)).toEqual([0]);
  });

  it('waits for as many bytes as are asked for', async () => {
    await createTopic(client, 'patient');
    const records = batch(['x'.repeat(100)]);
    const consumer = await fixture.connect(broker);
    const fetched = fetchFrom(consumer, 'patient', 0, { offset: 0, minBytes: 3 * records.length, maxWaitMs: 20_000 });
    for (let index = 0; index < 3; index += 1) await produceTo(client, 'patient', 0, batch(['x'.repeat(100)]));
    expect(batchesOf(await fetched)).toHaveLength(3);
  });

  it('answers empty-handed when its time is over', async () => {
    await createTopic(client, 'silent');
    expect(bytesOf(await fetchFrom(client, 'silent', 0, { offset: 0, minBytes: 1, maxWaitMs: 20 }))).toHaveLength(0);
  });

  it('is told at once when the topic that it waits on is deleted', async () => {
    await createTopic(client, 'vanishing');
    const consumer = await fixture.connect(broker);
    const fetched = fetchFrom(consumer, 'vanishing', 0, { offset: 0, minBytes: 1, maxWaitMs: 9_000 });
    await client.request(deleteTopics, 5, { topics: [], topicNames: ['vanishing'], timeoutMs: 5_000 });
    const { errorCode } = await fetched;
    expect([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NOT_LEADER_OR_FOLLOWER]).toContain(errorCode);
  });

  it('shows the same at both isolation levels, with a list of aborted transactions for read_committed', async () => {
    await filledTopic('levels');
    const uncommitted = await fetchFrom(client, 'levels', 0, { offset: 0, isolationLevel: 0 });
    const committed = await fetchFrom(client, 'levels', 0, { offset: 0, isolationLevel: 1 });
    expect(bytesOf(committed).equals(bytesOf(uncommitted))).toBe(true);
    expect(committed.lastStableOffset).toBe(30);
    expect([uncommitted.abortedTransactions, committed.abortedTransactions]).toEqual([null, []]);
  });

  it('answers UNKNOWN_TOPIC_ID and UNKNOWN_TOPIC_OR_PARTITION beside partitions that exist', async () => {
    const topicId = await filledTopic('beside');
    const request = fetchRequest('', 0, { offset: 27, topicId });
    const partition = request.topics[0]!.partitions[0]!;
    const { responses } = await client.request(fetch, lastFetchVersion, {
      ...request,
      topics: [
        { topic: '', topicId: 'abcdefghijklmnopqrstug', partitions: [partition] },
        { topic: '', topicId, partitions: [{ ...partition, partition: 9 }, partition] },
      ],
    });
    expect(responses.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))).toEqual([
      [ErrorCode.UNKNOWN_TOPIC_ID],
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE],
    ]);
  });

  it.each([
    [-1, ErrorCode.NONE],
    [0, ErrorCode.NONE],
    [1, ErrorCode.UNKNOWN_LEADER_EPOCH],
  ])('answers leader epoch %i of a log in its first epoch with error %i', async (currentLeaderEpoch, expected) => {
    const name = `epoch-${currentLeaderEpoch}`;
    await createTopic(client, name);
    expect((await fetchFrom(client, name, 0, { offset: 0, currentLeaderEpoch })).errorCode).toBe(expected);
  });

  describe('in a session', () => {
    it('sends only what changed after a full answer', async () => {
      await createTopic(client, 'session', 3);
      const own = await fixture.connect(broker);
      const one = fetchRequest('session', 0, { offset: 0, sessionEpoch: 0 });
      const partition = one.topics[0]!.partitions[0]!;
      const full = await own.request(fetch, 12, {
        ...one,
        topics: [
          {
            topic: 'session',
            topicId: zeroUuid,
            partitions: [0, 1, 2].map((index) => ({ ...partition, partition: index })),
          },
        ],
      });
      expect(full.responses[0]!.partitions).toHaveLength(3);
      expect(full.sessionId).not.toBe(0);
      const next = (sessionEpoch: number) =>
        own.request(fetch, 12, { ...one, sessionId: full.sessionId, sessionEpoch, topics: [] });

      expect((await next(1)).responses).toEqual([]);
      await produceTo(client, 'session', 1, batch(['x']));
      const changed = await next(2);
      expect(changed.responses.map(({ partitions }) => partitions.map((each) => each.partitionIndex))).toEqual([[1]]);

      expect((await next(2)).errorCode).toBe(ErrorCode.INVALID_FETCH_SESSION_EPOCH);
      const unknown = await own.request(fetch, 12, { ...one, sessionId: 12_345, sessionEpoch: 1 });
      expect(unknown.errorCode).toBe(ErrorCode.FETCH_SESSION_ID_NOT_FOUND);
    });
  });

  it('fills an answer from many partitions', async () => {
    const partitions = 400;
    const topicId = await createTopic(client, 'wide', partitions);
    const indexes = Array.from({ length: partitions }, (_, index) => index);
    const { responses: produced } = await client.request(produce, 9, {
      ...produceRequest('wide', 0, null),
      topicData: [
        {
          name: 'wide',
          topicId: zeroUuid,
          partitionData: indexes.map((index) => ({ index, records: batch([`${index}`]) })),
        },
      ],
    });
    expect(produced[0]!.partitionResponses.every(({ errorCode }) => errorCode === 0)).toBe(true);
    const request = fetchRequest('', 0, { offset: 0, topicId });
    const partition = request.topics[0]!.partitions[0]!;
    const { responses } = await client.request(fetch, lastFetchVersion, {
      ...request,
      topics: [{ topic: '', topicId, partitions: indexes.map((index) => ({ ...partition, partition: index })) }],
    });
    expect(responses[0]!.partitions.map((fetched) => batchesOf(fetched).length)).toEqual(indexes.map(() => 1));
  });

  it('gives cold readers the very bytes that those at the tail were given', async () => {
    const dataDir = await fixture.folder();
    const first = await fixture.start({ dataDir });
    const before = await fixture.connect(first);
    await createTopic(before, 'cold', 2);
    for (let index = 0; index < 30; index += 1) {
      await Promise.all([
        produceTo(before, 'cold', 0, batch([`${index}`, 'x'.repeat(5_000)])),
        produceTo(before, 'cold', 1, batch(['y'.repeat(700)], { codec: 'gzip' })),
      ]);
    }
    const hot = [await readAll(before, 'cold', 0), await readAll(before, 'cold', 1)];
    await first.close();

    const second = await fixture.start({ dataDir, config: { hotTailBytes: 0, cacheBytes: 1 << 20 } });
    const after = await fixture.connect(second);
    for (const partition of [0, 1]) {
      const bytes = await readAll(after, 'cold', partition);
      expect(bytes.equals(hot[partition]!)).toBe(true);
      const fetched = await fetchFrom(after, 'cold', partition, { offset: 0 });
      const batches = batchesOf(fetched);
      expect(batches).toHaveLength(30);
      expect(batches.every((found) => found.crc === found.computeCrc())).toBe(true);
    }
    expect(batchesOf(await fetchFrom(after, 'cold', 0, { offset: 41 }))[0]!.baseOffset).toBe(40);
  });

  describe('ListOffsets', () => {
    const startMs = Date.now() - 100_000;

    beforeAll(async () => {
      await createTopic(client, 'listed');
      for (const [index, ages] of [
        [10, 20],
        [60, 30],
        [40, 50],
      ].entries()) {
        const records = ages.map((age) => ({ value: `${index}`, timestamp: startMs + age }));
        await produceTo(client, 'listed', 0, encodeRecordBatch({ records }));
      }
    });

    it.each([
      ['latest', timestamps.latest, { offset: 6, timestamp: -1, leaderEpoch: 0 }],
      ['earliest', timestamps.earliest, { offset: 0, timestamp: -1, leaderEpoch: 0 }],
      ['the largest timestamp', timestamps.max, { offset: 2, timestamp: startMs + 60, leaderEpoch: 0 }],
      ['earliest local', timestamps.earliestLocal, { offset: 0, timestamp: -1, leaderEpoch: 0 }],
      ['latest tiered', timestamps.latestTiered, { offset: -1, timestamp: -1, leaderEpoch: -1 }],
      ['pending upload', timestamps.pendingUpload, { offset: -1, timestamp: -1, leaderEpoch: -1 }],
      ['long ago', 0n, { offset: 0, timestamp: startMs + 10, leaderEpoch: 0 }],
      ['a time of a record', BigInt(startMs + 20), { offset: 1, timestamp: startMs + 20, leaderEpoch: 0 }],
      ['a time between records', BigInt(startMs + 25), { offset: 2, timestamp: startMs + 60, leaderEpoch: 0 }],
      ['the last time', BigInt(startMs + 60), { offset: 2, timestamp: startMs + 60, leaderEpoch: 0 }],
      ['a time after all', BigInt(startMs + 61), { offset: -1, timestamp: -1, leaderEpoch: -1 }],
      ['the end of time', 2n ** 63n - 1n, { offset: -1, timestamp: -1, leaderEpoch: -1 }],
    ])('finds %s', async (_what, timestamp, expected) => {
      expect(await offsetAt(client, 'listed', timestamp, 11)).toEqual({
        errorCode: 0,
        oldStyleOffsets: [],
        ...expected,
      });
    });

    it.each([
      [timestamps.max, 6],
      [timestamps.earliestLocal, 7],
      [timestamps.latestTiered, 8],
      [timestamps.pendingUpload, 10],
      [-7n, 11],
    ])('answers UNSUPPORTED_VERSION for timestamp %d at version %i', async (timestamp, version) => {
      expect((await offsetAt(client, 'listed', timestamp, version)).errorCode).toBe(ErrorCode.UNSUPPORTED_VERSION);
    });

    it('lists the end first at version 0', async () => {
      expect((await offsetAt(client, 'listed', timestamps.latest, 0)).oldStyleOffsets[0]).toBe(6);
      expect((await offsetAt(client, 'listed', timestamps.earliest, 0)).oldStyleOffsets).toEqual([0]);
    });

    it('finds the same after a restart', async () => {
      const dataDir = await fixture.folder();
      const first = await fixture.start({ dataDir });
      const before = await fixture.connect(first);
      await createTopic(before, 'kept');
      for (const age of [10, 40, 20]) {
        await produceTo(before, 'kept', 0, encodeRecordBatch({ records: [{ value: 'x', timestamp: startMs + age }] }));
      }
      await first.close();
      const after = await fixture.connect(await fixture.start({ dataDir }));
      expect(await offsetAt(after, 'kept', timestamps.max)).toMatchObject({ offset: 1, timestamp: startMs + 40 });
      expect(await offsetAt(after, 'kept', BigInt(startMs + 11))).toMatchObject({ offset: 1, timestamp: startMs + 40 });
      expect(await offsetAt(after, 'kept', timestamps.latest)).toMatchObject({ offset: 3, leaderEpoch: 1 });
    });
  });

  it('tells where leader epochs ended, after restarts that raised them', async () => {
    const dataDir = await fixture.folder();
    for (const epoch of [0, 1, 2]) {
      const living = await fixture.start({ dataDir });
      const own = await fixture.connect(living);
      if (epoch === 0) await createTopic(own, 'epochs');
      expect(await leaderEpochOf(own, 'epochs')).toBe(epoch);
      if (epoch !== 1) await produceTo(own, 'epochs', 0, batch(['a', 'b']));
      if (epoch < 2) await living.close();
      else {
        const endOf = async (leaderEpoch: number, currentLeaderEpoch = -1) => {
          const { topics } = await own.request(offsetForLeaderEpoch, 4, {
            replicaId: -2,
            topics: [{ topic: 'epochs', partitions: [{ partition: 0, currentLeaderEpoch, leaderEpoch }] }],
          });
          const { errorCode, leaderEpoch: found, endOffset } = topics[0]!.partitions[0]!;
          return [errorCode, found, endOffset];
        };
        expect(await endOf(0)).toEqual([0, 0, 2]);
        expect(await endOf(1)).toEqual([0, 0, 2]); // nothing was written in epoch 1
        expect(await endOf(2)).toEqual([0, 2, 4]);
        expect(await endOf(9)).toEqual([0, -1, -1]);
        expect((await endOf(0, 1))[0]).toBe(ErrorCode.FENCED_LEADER_EPOCH);
        expect((await endOf(0, 3))[0]).toBe(ErrorCode.UNKNOWN_LEADER_EPOCH);
        const batches = batchesOf(await fetchFrom(own, 'epochs', 0, { offset: 0 }));
        expect(batches.map(({ partitionLeaderEpoch }) => partitionLeaderEpoch)).toEqual([0, 2]);
      }
    }
  });

  describe('DeleteRecords', () => {
    it('moves the start, which fetches and listings respect, also after a restart', async () => {
      const dataDir = await fixture.folder();
      const first = await fixture.start({ dataDir });
      const before = await fixture.connect(first);
      await createTopic(before, 'cut');
      for (let index = 0; index < 4; index += 1) await produceTo(before, 'cut', 0, batch(['a', 'b', 'c']));
      expect(await deleteUpTo(before, 'cut', 4)).toEqual({ errorCode: 0, lowWatermark: 4 });
      expect((await fetchFrom(before, 'cut', 0, { offset: 3 })).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
      expect(await fetchFrom(before, 'cut', 0, { offset: 4 })).toMatchObject({ errorCode: 0, logStartOffset: 4 });
      expect(await deleteUpTo(before, 'cut', 2)).toEqual({ errorCode: 0, lowWatermark: 4 });
      expect((await deleteUpTo(before, 'cut', 13)).errorCode).toBe(ErrorCode.OFFSET_OUT_OF_RANGE);
      await first.close();

      const second = await fixture.start({ dataDir });
      const after = await fixture.connect(second);
      expect((await offsetAt(after, 'cut', timestamps.earliest)).offset).toBe(4);
      expect(batchesOf(await fetchFrom(after, 'cut', 0, { offset: 4 })).map(({ baseOffset }) => baseOffset)).toEqual([
        3, 6, 9,
      ]);
      expect(await deleteUpTo(after, 'cut', -1)).toEqual({ errorCode: 0, lowWatermark: 12 });
      expect(await fetchFrom(after, 'cut', 0, { offset: 12 })).toMatchObject({ errorCode: 0, logStartOffset: 12 });
      expect((await produceTo(after, 'cut', 0, batch(['d']))).baseOffset).toBe(12);
      await second.close();

      const third = await fixture.connect(await fixture.start({ dataDir }));
      expect((await offsetAt(third, 'cut', timestamps.earliest)).offset).toBe(12);
      expect((await offsetAt(third, 'cut', timestamps.latest)).offset).toBe(13);
    });

    it('refuses a compacted topic', async () => {
      await createTopic(client, 'uncut', 1, { 'cleanup.policy': 'compact' });
      expect((await deleteUpTo(client, 'uncut', 0)).errorCode).toBe(ErrorCode.POLICY_VIOLATION);
    });
  });

  it('shows nothing of a deleted topic in one of the same name', async () => {
    const oldId = await filledTopic('reborn');
    await client.request(deleteTopics, 5, { topics: [], topicNames: ['reborn'], timeoutMs: 5_000 });
    expect((await fetchFrom(client, 'reborn', 0, { offset: 0 })).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
    expect((await produceTo(client, 'reborn', 0, batch(['x']))).errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);

    const newId = await createTopic(client, 'reborn');
    expect(newId).not.toBe(oldId);
    expect(await fetchFrom(client, 'reborn', 0, { offset: 0 })).toMatchObject({ errorCode: 0, highWatermark: 0 });
    const stale = await fetchFrom(client, '', 0, { offset: 0, topicId: oldId }, lastFetchVersion);
    expect(stale.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_ID);
    const { responses } = await client.request(
      produce,
      produce.versions[1],
      produceRequest('', 0, batch(['x']), { topicId: oldId }),
    );
    expect(responses[0]!.partitionResponses[0]!.errorCode).toBe(ErrorCode.UNKNOWN_TOPIC_ID);
    expect((await produceTo(client, 'reborn', 0, batch(['x']))).baseOffset).toBe(0);
    expect(batchesOf(await fetchFrom(client, '', 0, { offset: 0, topicId: newId }, lastFetchVersion))).toHaveLength(1);
  });
});
