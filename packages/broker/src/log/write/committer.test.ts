import { ErrorCode, KafkaError, metadata } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import type { FlooredLane, LaneCommit } from '../../metadata/lane.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import { HotTail } from '../read/hot-tail.ts';
import { Committer, type CommittedFlush, type UploadingFlush, type UploadOutcome } from './committer.ts';
import { closeFlush } from './flush.ts';
import { countedMemory, partitionWriter, pendingBatch } from './write-path-fixture.ts';

function setUp() {
  const clock = new FakeClock();
  const commits: { readonly commit: LaneCommit; readonly resolve: () => void; readonly reject: (e: Error) => void }[] =
    [];
  const lane: FlooredLane = {
    commit: (commit) =>
      new Promise((resolve, reject) => commits.push({ commit, resolve: () => resolve(commits.length), reject })),
    raiseFloor: (sequence) => floors.push(sequence),
  };
  const floors: number[] = [];
  const rolledBack: { readonly sequences: readonly number[]; readonly error: KafkaError }[] = [];
  const committed: CommittedFlush[] = [];
  const answered: number[] = [];
  const failedCounts: number[] = [];
  const hotTail = new HotTail(100_000);
  const committer = new Committer({
    clock,
    lane,
    hotTail,
    incarnation: 'incarnation-1',
    failpoint: () => undefined,
    rollBack: (failed, error) => rolledBack.push({ sequences: failed.map(({ flush }) => flush.sequence), error }),
    onAnswered: (batchCount) => answered.push(batchCount),
    observer: { onCommitted: (flush) => committed.push(flush), onFailed: (count) => failedCounts.push(count) },
  });
  const writer = partitionWriter();
  const { arena } = countedMemory();
  let sequence = -1;

  /** One flush of one idempotent batch on its way, whose upload the test ends. */
  const enqueue = () => {
    sequence += 1;
    const { batch, outcomes } = pendingBatch(
      writer,
      { producerId: 1n, producerEpoch: 0, firstSequence: sequence, lastSequence: sequence },
      sequence,
    );
    writer.producers.accept(batch);
    const flush = closeFlush(
      {
        clusterId: 'c',
        incarnation: 'i',
        sequence,
        buildsOn: sequence - 1,
        createdMs: 1,
        closedMs: clock.monotonicMs(),
      },
      new Map([[writer, [batch]]]),
      arena,
    );
    let finish!: (outcome: UploadOutcome) => void;
    const upload: UploadingFlush = {
      flush,
      outcome: new Promise((resolve) => (finish = resolve)),
      abandon: () => undefined,
    };
    committer.enqueue(upload);
    return { flush, batch, outcomes, finish, written: () => finish({ objectKey: `object-${flush.sequence}` }) };
  };
  return { clock, committer, commits, floors, rolledBack, committed, answered, failedCounts, hotTail, writer, enqueue };
}

const manifestKeys = (...sequences: readonly number[]): readonly string[] =>
  sequences.map((sequence) => `manifests/incarnation-1/${String(sequence).padStart(16, '0')}`);
const keysOf = (commits: readonly { readonly commit: LaneCommit }[]): readonly (readonly string[])[] =>
  commits.map(({ commit }) => commit.operations.map(({ key }) => key));

describe('Committer', () => {
  it('commits in the order of closing, whatever the order of uploads, one transaction at a time', async () => {
    const { enqueue, commits, committer } = setUp();
    const flushes = [enqueue(), enqueue(), enqueue()];
    flushes[1]!.written();
    await settled();
    expect(commits).toHaveLength(0);
    flushes[0]!.written();
    await settled();
    expect(keysOf(commits)).toEqual([manifestKeys(0, 1)]);
    flushes[2]!.written();
    await settled();
    expect(commits).toHaveLength(1);
    commits[0]!.resolve();
    await settled();
    expect(keysOf(commits)).toEqual([manifestKeys(0, 1), manifestKeys(2)]);
    commits[1]!.resolve();
    await committer.idle();
    expect(committer.lastCommittedSequence).toBe(2);
  });

  it('commits by one transaction what is written and next in line, and no more than it may hold', async () => {
    const { enqueue, commits, committer, answered, committed, writer, floors } = setUp();
    const flushes = Array.from({ length: 19 }, enqueue);
    for (const [index, { written }] of flushes.entries()) if (index !== 0 && index !== 17) written();
    await settled();
    flushes[0]!.written();
    await settled();
    expect(keysOf(commits)).toEqual([manifestKeys(...flushes.keys()).slice(0, 16)]);
    expect(flushes.every(({ outcomes }) => outcomes.length === 0)).toBe(true);
    commits[0]!.resolve();
    await settled();
    expect(writer.log.highWatermark).toBe(16);
    expect(flushes.map(({ outcomes }) => outcomes.length)).toEqual([...Array<number>(16).fill(1), 0, 0, 0]);
    expect(flushes[15]!.outcomes).toEqual([{ committed: true, baseOffset: 15 }]);
    expect([answered, floors.at(-1), committer.unsettledCount]).toEqual([[16], 16, 3]);
    expect(committed.map(({ manifest }) => manifest.key)).toEqual(manifestKeys(...flushes.keys()).slice(0, 16));
    expect(keysOf(commits)[1]).toEqual(manifestKeys(16));
  });

  it('takes all flushes of a transaction that was refused along, and those behind them', async () => {
    const { enqueue, commits, committer, rolledBack, writer } = setUp();
    const flushes = [enqueue(), enqueue(), enqueue()];
    flushes[1]!.written();
    await settled();
    flushes[0]!.written();
    await settled();
    expect(keysOf(commits)).toEqual([manifestKeys(0, 1)]);
    commits[0]!.reject(new MetadataError('fenced', 'no'));
    await committer.idle();
    expect(rolledBack).toMatchObject([{ sequences: [0, 1, 2] }]);
    expect([writer.log.highWatermark, committer.unsettledBytes]).toEqual([0, 0]);
  });

  it('shows and answers nothing before the commit, and everything after it', async () => {
    const { enqueue, commits, committer, writer, hotTail, answered, committed } = setUp();
    const { written, outcomes, batch } = enqueue();
    written();
    await settled();
    expect([writer.log.highWatermark, outcomes, hotTail.has('object-0'), answered]).toEqual([0, [], false, []]);
    expect(writer.producers.check(batch).outcome).toBe('pending');
    expect(committer.unsettledCount).toBe(1);
    commits[0]!.resolve();
    await committer.idle();
    expect(writer.log.highWatermark).toBe(1);
    expect(outcomes).toEqual([{ committed: true, baseOffset: 0 }]);
    expect(hotTail.has('object-0')).toBe(true);
    expect(writer.producers.check(batch).outcome).toBe('committed');
    expect(committer.unsettledCount).toBe(0);
    expect(answered).toEqual([1]);
    expect(committed).toMatchObject([{ batchCount: 1, partitionCount: 1, recordBytes: 80 }]);
  });

  it('names the object that holds the flush', async () => {
    const { enqueue, commits } = setUp();
    const { written, flush } = enqueue();
    written();
    await settled();
    const [operation] = commits[0]!.commit.operations;
    const manifest = metadata.FlushManifest.decode(operation!.type === 'put' ? operation!.value : Buffer.alloc(0));
    expect(manifest).toEqual({ objectKey: 'object-0', body: { $case: 'inline', value: flush.description } });
  });

  it('takes every flush behind one that could not be written along, but none before it', async () => {
    const { enqueue, commits, committer, rolledBack, failedCounts } = setUp();
    const flushes = [enqueue(), enqueue(), enqueue()];
    const error = new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS);
    flushes[1]!.finish({ error });
    flushes[2]!.written();
    flushes[0]!.written();
    await settled();
    expect(rolledBack).toEqual([]);
    commits[0]!.resolve();
    await committer.idle();
    expect(rolledBack).toEqual([{ sequences: [1, 2], error }]);
    expect(failedCounts).toEqual([2]);
    expect(commits).toHaveLength(1);
  });

  it.each([
    ['fenced', ErrorCode.NOT_LEADER_OR_FOLLOWER],
    ['invalid', ErrorCode.UNKNOWN_SERVER_ERROR],
  ] as const)('rolls back with a true answer when the lane says %s', async (kind, code) => {
    const { enqueue, commits, committer, rolledBack, writer } = setUp();
    const flushes = [enqueue(), enqueue()];
    for (const { written } of flushes) written();
    await settled();
    commits[0]!.reject(new MetadataError(kind, 'no'));
    await committer.idle();
    expect(rolledBack).toMatchObject([{ sequences: [0, 1], error: { code } }]);
    expect(writer.log.highWatermark).toBe(0);
  });

  it('goes on with flushes that were closed after a roll back', async () => {
    const { enqueue, commits, committer, rolledBack, writer } = setUp();
    enqueue().finish({ error: new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS) });
    await settled();
    expect(rolledBack).toHaveLength(1);
    writer.rollBack(0, 0);
    const { written, outcomes } = enqueue();
    written();
    await settled();
    commits[0]!.resolve();
    await committer.idle();
    expect(outcomes).toEqual([{ committed: true, baseOffset: 0 }]);
  });

  it('raises the floor of its lane past what has an outcome, and no further', async () => {
    const { enqueue, commits, committer, floors } = setUp();
    const flushes = [enqueue(), enqueue(), enqueue()];
    flushes[2]!.written();
    flushes[0]!.written();
    await settled();
    expect(floors).toEqual([]);
    commits[0]!.resolve();
    await settled();
    expect(floors).toEqual([1]);
    flushes[1]!.finish({ error: new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS) });
    await committer.idle();
    expect(floors).toEqual([1, 3]);
  });

  it('tells which key holds the manifest of a flush, and since when', async () => {
    const { enqueue, commits, committer, committed } = setUp();
    const { written, flush } = enqueue();
    written();
    await settled();
    const [operation] = commits[0]!.commit.operations;
    commits[0]!.resolve();
    await committer.idle();
    expect(committed[0]!.manifest).toEqual({ ...operation, type: undefined, modRevision: 1, footer: flush.footer });
  });

  it('lets who waits for the flushes so far go, although others have come since', async () => {
    const { enqueue, commits, committer } = setUp();
    enqueue().written();
    let isIdle = false;
    const idle = committer.idle().then(() => (isIdle = true));
    await settled();
    enqueue().written();
    await settled();
    expect(isIdle).toBe(false);
    commits[0]!.resolve();
    await idle;
    expect(committer.unsettledCount).toBe(1);
  });

  it('is idle without flushes', async () => {
    await setUp().committer.idle();
  });
});
