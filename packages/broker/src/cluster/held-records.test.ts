import { metadata } from '@kafscale/protocol';
import type { LaneCommit } from '../metadata/lane.ts';
import { MetadataError, type MetadataErrorKind } from '../metadata/metadata-error.ts';
import { HeldRecords } from './held-records.ts';

const topicId = 'dG9waWMtaWQtMDAwMDAwMQ';
const count = 8;

/** Records of as many partitions, and a lane that refuses what `refusal` says. */
function setUp(refusal: (commit: LaneCommit) => MetadataErrorKind | undefined) {
  let commits = 0;
  const held = new HeldRecords({
    commit: (commit) => {
      commits += 1;
      const kind = refusal(commit);
      return kind === undefined ? Promise.resolve(100) : Promise.reject(new MetadataError(kind, 'refused'));
    },
  });
  const record = metadata.PartitionRecord.decode(new Uint8Array(0));
  for (let partition = 0; partition < count; partition += 1) {
    held.add({ topicId, partition, record, modRevision: 10 + partition, phase: 'open' });
  }
  const change = (before: metadata.PartitionRecord) => ({ ...before, logStartOffset: 5n });
  const updateAll = async () => {
    const updates = Array.from({ length: count }, (_, partition) => ({ topicId, partition, change }));
    const outcomes = await held.update(updates);
    return outcomes.map((error) => (error as MetadataError | undefined)?.kind);
  };
  return { held, updateAll, commits: () => commits };
}

describe('records of one update', () => {
  it('are stored but for the one that somebody else has written', async () => {
    const { updateAll, held } = setUp(({ compare }) => {
      return compare?.some(({ operand }) => operand === 13) === true ? 'conflict' : undefined;
    });
    expect(await updateAll()).toEqual(Array.from({ length: count }, (_, at) => (at === 3 ? 'conflict' : undefined)));
    const revisions = Array.from({ length: count }, (_, partition) => held.get(topicId, partition)!.modRevision);
    expect(revisions).toEqual(revisions.map((_, partition) => (partition === 3 ? 13 : 100)));
  });

  it.each(['no-space', 'fenced'] as const)('are not tried one by one where none can be stored (%s)', async (kind) => {
    const { updateAll, commits } = setUp(() => kind);
    expect(await updateAll()).toEqual(Array.from({ length: count }, () => kind));
    expect(commits()).toBe(1);
  });
});
