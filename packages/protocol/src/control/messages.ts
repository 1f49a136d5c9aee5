/**
 * The messages of `proto/control/broker.proto` as `@grpc/proto-loader` gives them with the options of proto-file.ts: every field is
 * there, 64-bit numbers as numbers. A request that comes from outside is one of these in shape, and in nothing else.
 */

export interface ControlPartition {
  readonly topic: string;
  readonly partition: number;
}

export type ObjectStoreState = 'healthy' | 'degraded' | 'unavailable';

export interface BrokerStatus {
  readonly brokerId: number;
  readonly version: string;
  readonly ready: boolean;
  readonly partitions: readonly PartitionStatus[];
  readonly incarnation: string;
  readonly cordoned: boolean;
  readonly coordinatorShards: readonly number[];
  readonly objectStoreState: string;
  readonly metadataStoreReachable: boolean;
  readonly isController: boolean;
  readonly draining: boolean;
}

export type PartitionState = 'opening' | 'open' | 'handing_over';

export interface PartitionStatus extends ControlPartition {
  readonly leader: number;
  readonly state: string;
  readonly logStartOffset: number;
  readonly logEndOffset: number;
  readonly highWatermark: number;
}

export interface SetCordonRequest {
  readonly cordoned: boolean;
  readonly reason: string;
}

export interface DrainPartitionsRequest {
  /** All that the broker owns when empty. */
  readonly partitions: readonly ControlPartition[];
  readonly reason: string;
  /** 0 for the broker's own. */
  readonly deadlineSeconds: number;
}

export interface DrainPartitionsResponse {
  readonly drained: readonly ControlPartition[];
  readonly pending: readonly ControlPartition[];
  readonly pendingCoordinatorShards: number;
}

export interface TriggerFlushRequest {
  readonly partitions: readonly ControlPartition[];
  readonly allAssigned: boolean;
}

export interface TriggerFlushResponse {
  readonly flushed: readonly ControlPartition[];
}

export interface MetricsReport {
  readonly brokerId: number;
  readonly timestampMs: number;
  readonly gauges: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

export interface MetricsAck {
  readonly message: string;
}

export interface WatchAssignmentsRequest {
  /** All brokers' when absent. */
  readonly brokerId?: number;
}

export type AssignmentStatus = 'owned' | 'wanted' | 'unowned';

export interface AssignmentUpdate {
  readonly partition: ControlPartition;
  readonly brokerId: number;
  readonly status: string;
  readonly epoch: number;
}
