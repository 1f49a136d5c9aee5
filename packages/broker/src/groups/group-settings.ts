/** What can be set about groups; the fields of the broker's configuration carry the same names. */
import type { ClassicGroupSettings } from './classic/group-model.ts';

export interface GroupSettings extends ClassicGroupSettings {
  readonly groupMinSessionTimeoutMs: number;
  readonly groupMaxSessionTimeoutMs: number;
  /** Most groups of all shards together; each shard takes its even part. */
  readonly groupsMax: number;
  /** Most requests of a shard that wait for their answer. */
  readonly groupParkedRequestsMax: number;
  readonly offsetsRetentionMs: number;
  /** How often offsets that have outlived the retention are looked for. */
  readonly offsetsRetentionCheckIntervalMs: number;
  /** Longest text beside a committed offset, in UTF-16 code units as Kafka counts it. */
  readonly offsetMetadataMaxBytes: number;
}
