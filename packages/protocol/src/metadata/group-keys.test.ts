import { groupShard, groupShards, metadataKeys, metadataPrefixes } from './keys.ts';

describe('the keys of groups', () => {
  it('stay where they are: a group never changes its shard', () => {
    const ids = ['', 'group', '__proto__', 'ä', 'connect-cluster'];
    expect(ids.map(groupShard)).toEqual([5, 12, 13, 3, 6]);
  });

  it('spread over all shards', () => {
    const used = new Set(Array.from({ length: 1_000 }, (_, index) => groupShard(`group-${index}`)));
    expect(used.size).toBe(groupShards);
  });

  it('lie under the prefix of their shard', () => {
    const shard = groupShard('group');
    expect(metadataKeys.group('group').startsWith(metadataPrefixes.groups(shard))).toBe(true);
    expect(metadataKeys.groupOffsets('group', 'topic', 3).startsWith(metadataPrefixes.groupOffsets(shard))).toBe(true);
    expect(metadataKeys.groupDelta(shard, 9).startsWith(metadataPrefixes.groupDeltas(shard))).toBe(true);
  });

  it('are short and distinct for any id', () => {
    const long = 'x'.repeat(32_000);
    const ids = ['', '/', '\0', '..', `${long}a`, `${long}b`, `~${long}`];
    const keys = ids.map((id) => metadataKeys.group(id));
    expect(new Set(keys).size).toBe(ids.length);
    for (const key of keys) expect(key).toMatch(/^groups\/\d{4}\/~?[A-Za-z0-9_-]{0,200}$/);
  });
});
