/** What handlers may use: the broker's components, built by `broker.ts`. */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { PartitionFinder } from '../cluster/partition-finder.ts';
import type { Topics } from '../cluster/topics.ts';
import type { BrokerConfigs } from '../config/dynamic-config.ts';
import type { DelayedFetches } from '../log/delayed-fetch.ts';
import type { FollowedLogs } from '../log/follow/followed-logs.ts';
import type { LogStarts } from '../log/log-start.ts';
import type { OwnershipProof } from '../log/ownership-proof.ts';
import type { ProduceThrottle } from '../log/upkeep/produce-throttle.ts';
import type { GroupCoordinator } from '../groups/group-coordinator.ts';
import type { PartitionLogs } from '../log/partition-logs.ts';
import type { LogReader } from '../log/read/log-reader.ts';
import type { TimeIndex } from '../log/time-index.ts';
import type { LogAppender } from '../log/write/log-appender.ts';
import type { ClusterImage } from '../metadata/metadata-image.ts';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import type { ProducerIds } from '../transactions/producer-ids.ts';
import type { FetchSessions } from './fetch-sessions.ts';
import type { ReadReplicas } from './read-replicas.ts';

export interface Services {
  /** Whether answers that clients have not taken hold more memory than is meant for them; never where it is left out. */
  readonly answersAreMany?: () => boolean;
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly metrics: BrokerMetrics;
  readonly image: ClusterImage;
  readonly topics: Topics;
  readonly brokerConfigs: BrokerConfigs;
  readonly logs: PartitionLogs;
  /** Where partitions are that are not open here. */
  readonly finder: PartitionFinder;
  readonly groups: GroupCoordinator;
  readonly appender: LogAppender;
  readonly produceThrottle: Pick<ProduceThrottle, 'delayMs'>;
  readonly producerIds: ProducerIds;
  readonly reader: LogReader;
  readonly timeIndex: TimeIndex;
  readonly delayedFetches: DelayedFetches;
  readonly fetchSessions: FetchSessions;
  readonly readReplicas: ReadReplicas;
  /** What a broker that only reads answers fetches from; others answer from what they own. */
  readonly followed?: FollowedLogs | undefined;
  readonly ownershipProof: OwnershipProof;
  readonly logStarts: LogStarts;
}
