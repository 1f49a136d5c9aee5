/** The cluster's id: made when the first broker meets an empty metadata store, the same for ever after. */
import { metadata, metadataKeys } from '@kafscale/protocol';
import type { Clock, Random } from '@kafscale/runtime';
import type { MetadataStore } from '../metadata/metadata-store.ts';

const clusterIdBytes = 16;

/** Reads the id, or claims a new one; the key is never deleted, so a claim rests on its absence safely. Throws MetadataError. */
export async function clusterIdentity(store: MetadataStore, clock: Clock, random: Random): Promise<string> {
  const key = metadataKeys.cluster;
  const clusterId = random.bytes(clusterIdBytes).toString('base64url');
  const value = metadata.ClusterRecord.encode({
    clusterId,
    createdMs: BigInt(clock.wallMs()),
    generation: 0n,
  }).finish();
  const { succeeded, ranges } = await store.transact({
    compare: [{ key, target: 'createRevision', operator: '=', operand: 0 }],
    success: [{ type: 'put', key, value }],
    failure: [{ type: 'range', key }],
  });
  return succeeded ? clusterId : metadata.ClusterRecord.decode(ranges[0]!.items[0]!.value).clusterId;
}
