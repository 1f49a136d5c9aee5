import { PartitionSummary, type FlushTopic } from '../metadata/generated/metadata/metadata.ts';
import { maxSummaryBytes, mayHoldPartition, summarizePartitions } from './partition-summary.ts';

const idOf = (number: number) => Buffer.concat([Buffer.alloc(4, number % 251), Buffer.alloc(12, number >>> 3)]);
const nameOf = (number: number) => idOf(number).toString('base64url');

const topic = (number: number, partitions: readonly number[]): FlushTopic => ({
  topicId: idOf(number),
  name: `topic-${number}`,
  extents: partitions.map((partition) => ({
    ...{ partition, leaderEpoch: 0, baseOffset: 0n, nextOffset: 1n, position: 0n, length: 1 },
    ...{ maxTimestamp: 0n, maxTimestampBaseOffset: 0n, producerBatches: [] },
  })),
});
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('a summary of partitions', () => {
  it('is exact for the partitions of few topics', () => {
    const summary = summarizePartitions([{ topics: [topic(1, upTo(1_000))] }, { topics: [topic(2, [7])] }]);
    expect(summary.kind?.$case).toBe('exact');
    for (const partition of upTo(1_000)) expect(mayHoldPartition(summary, nameOf(1), partition)).toBe(true);
    expect(mayHoldPartition(summary, nameOf(1), 1_000)).toBe(false);
    expect(upTo(20).filter((partition) => mayHoldPartition(summary, nameOf(2), partition))).toEqual([7]);
    expect(mayHoldPartition(summary, nameOf(3), 7)).toBe(false);
  });

  it.each([
    [200, 0.02],
    [1_000, 0.2],
  ])('of %i topics misses none, and takes few others for them', (count, mostTaken) => {
    const summary = summarizePartitions([{ topics: upTo(count).map((number) => topic(number, [number % 7])) }]);
    expect(summary.kind?.$case).toBe('filter');
    for (const number of upTo(count)) expect(mayHoldPartition(summary, nameOf(number), number % 7)).toBe(true);
    const others = upTo(1_000).filter((number) => mayHoldPartition(summary, nameOf(number + 10_000), number % 7));
    expect(others.length / 1_000).toBeLessThan(mostTaken);
  });

  it.each([1, 50, 1_000, 20_000])('of %i topics stays small', (count) => {
    const summary = summarizePartitions([{ topics: upTo(count).map((number) => topic(number, [0, 1])) }]);
    expect(PartitionSummary.encode(summary).finish().length).toBeLessThanOrEqual(maxSummaryBytes + 20);
    const decoded = PartitionSummary.decode(PartitionSummary.encode(summary).finish());
    expect(mayHoldPartition(decoded, nameOf(0), 1)).toBe(true);
  });

  it('that is not there may hold anything', () => {
    expect(mayHoldPartition(undefined, nameOf(1), 0)).toBe(true);
  });
});
