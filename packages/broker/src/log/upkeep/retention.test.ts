import { parseTopicConfig, type TopicConfig } from '@kafscale/protocol';
import { silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { nothingFolded, PartitionLog, type Extent } from '../partition-log.ts';
import { PartitionLogs } from '../partition-logs.ts';
import { ReadingFixture } from '../read/log-fixture.ts';
import { RetentionLines } from './retained-from.ts';
import { startRetention } from './retention.ts';

const nowMs = 1_700_000_000_000;
const hour = 3_600_000;

function logOf(extents: readonly { readonly ageMs: number | undefined; readonly length: number }[]): PartitionLog {
  const placed = extents.map(({ ageMs, length }, index): Extent => ({
    baseOffset: index * 10,
    nextOffset: index * 10 + 10,
    leaderEpoch: 0,
    objectKey: `object-${index}`,
    position: 0,
    length,
    maxTimestamp: ageMs === undefined ? -1 : nowMs - ageMs,
    maxTimestampBaseOffset: index * 10,
  }));
  return new PartitionLog(
    { topicId: 'topic', topicName: 'orders', partition: 0, leaderEpoch: 0 },
    { logStartOffset: 0, nextOffset: extents.length * 10, folded: nothingFolded, extents: placed, epochStarts: [] },
  );
}

const spans = new ReadingFixture().spans;
const retainedFrom = (log: PartitionLog, settings: TopicConfig) =>
  new RetentionLines(spans).retainedFrom(log, settings, nowMs);
const config = (settings: Readonly<Record<string, string>>) => parseTopicConfig(new Map(Object.entries(settings)));
const extent = (ageMs: number | undefined, length = 100) => ({ ageMs, length });

describe('retention', () => {
  it('drops what is older than retention.ms, up to the first extent that is not', async () => {
    const log = logOf([extent(3 * hour), extent(2 * hour), extent(hour / 2), extent(5 * hour)]);
    expect(await retainedFrom(log, config({ 'retention.ms': String(hour) }))).toBe(20);
  });

  it('keeps at least retention.bytes', async () => {
    const log = logOf([extent(0), extent(0), extent(0), extent(0)]);
    expect(await retainedFrom(log, config({ 'retention.bytes': '250' }))).toBe(10);
    expect(await retainedFrom(log, config({ 'retention.bytes': '200' }))).toBe(20);
  });

  it('keeps everything when neither limit is set', async () => {
    const log = logOf([extent(1_000_000 * hour)]);
    expect(await retainedFrom(log, config({ 'retention.ms': '-1' }))).toBe(0);
  });

  it('never deletes from a topic that is only compacted', async () => {
    const log = logOf([extent(1_000_000 * hour), extent(0)]);
    const compacted = config({ 'cleanup.policy': 'compact', 'retention.ms': '1', 'retention.bytes': '1' });
    expect(await retainedFrom(log, compacted)).toBe(0);
  });

  it('deletes from a topic that is compacted and deleted', async () => {
    const log = logOf([extent(2 * hour), extent(0)]);
    const both = config({ 'cleanup.policy': 'compact,delete', 'retention.ms': String(hour) });
    expect(await retainedFrom(log, both)).toBe(10);
  });

  it('drops records without timestamps together with later ones that expired, and not before', async () => {
    const settings = config({ 'retention.ms': String(hour) });
    expect(await retainedFrom(logOf([extent(undefined), extent(2 * hour), extent(0)]), settings)).toBe(20);
    expect(await retainedFrom(logOf([extent(undefined), extent(0)]), settings)).toBe(0);
  });

  describe('by and by', () => {
    const start = (log: PartitionLog, { foldWaitMs = 0, fails = (): boolean => false } = {}) => {
      const clock = new FakeClock({ wallMs: nowMs });
      const logs = new PartitionLogs();
      logs.open(log);
      const moved: number[] = [];
      const stop = startRetention({
        logs,
        lines: new RetentionLines(spans),
        logStarts: {
          advanceLogStart: (one, offset) => {
            if (fails()) return Promise.reject(new Error('no answer'));
            one.advanceLogStart(offset);
            moved.push(offset);
            return Promise.resolve();
          },
        },
        configOf: () => config({ 'retention.ms': String(hour) }),
        clock,
        logger: silentLogger,
        intervalMs: 1_000,
        foldWaitMs,
      });
      return { clock, moved, stop };
    };

    it('moves log starts, and goes on after one that failed', async () => {
      let fails = true;
      const { clock, moved, stop } = start(logOf([extent(2 * hour), extent(0)]), { fails: () => fails });
      await clock.advanceAsync(1_000);
      expect(moved).toEqual([]);
      fails = false;
      await clock.advanceAsync(3_000);
      expect(moved).toEqual([10]);
      stop();
      expect(clock.pendingTimers).toBe(0);
    });

    it('leaves the move to a fold that is to come, but not for ever', async () => {
      const { clock, moved, stop } = start(logOf([extent(2 * hour), extent(0)]), { foldWaitMs: 5_000 });
      await clock.advanceAsync(5_500);
      expect(moved).toEqual([]);
      await clock.advanceAsync(1_000);
      expect(moved).toEqual([10]);
      stop();
    });

    it('waits for no fold where everything is folded', async () => {
      const log = logOf([extent(2 * hour), extent(0)]);
      log.fold({ logStartOffset: 0, foldedOffset: 20, chunks: [], segments: log.extents });
      const { clock, moved, stop } = start(log, { foldWaitMs: 5_000 });
      await clock.advanceAsync(1_500);
      expect(moved).toEqual([10]);
      stop();
    });
  });
});
