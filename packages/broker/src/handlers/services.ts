/** What handlers may use: the broker's components, built by `broker.ts`. */
import type { Clock } from '@kafscale/runtime';
import type { PartitionLogs } from '../log/partition-logs.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';

export interface Services {
  readonly clock: Clock;
  readonly image: MetadataImage;
  readonly logs: PartitionLogs;
}
