/**
 * Every metric of the operator: name, help, labels. Those of reconciling, queues and the API's client carry the names that
 * controller-runtime gave them, so that dashboards made for other operators show ours too.
 */

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const queueBuckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 50, 100, 1000] as const;
const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export const metricDefinitions = {
  reconcileTotal: {
    type: 'counter',
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciliations by controller and result: success, error, requeue_after, requeue.',
    labels: ['controller', 'result'],
  },
  reconcileErrors: {
    type: 'counter',
    name: 'controller_runtime_reconcile_errors_total',
    help: 'Reconciliations that failed.',
    labels: ['controller'],
  },
  reconcileSeconds: {
    type: 'histogram',
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Time of one reconciliation.',
    labels: ['controller'],
    buckets: reconcileBuckets,
  },
  activeWorkers: {
    type: 'gauge',
    name: 'controller_runtime_active_workers',
    help: 'Reconciliations that run now.',
    labels: ['controller'],
  },
  workqueueDepth: {
    type: 'gauge',
    name: 'workqueue_depth',
    help: 'Keys that wait for a worker.',
    labels: ['name'],
  },
  workqueueAdds: {
    type: 'counter',
    name: 'workqueue_adds_total',
    help: 'Keys added to the queue.',
    labels: ['name'],
  },
  workqueueRetries: {
    type: 'counter',
    name: 'workqueue_retries_total',
    help: 'Keys that came back after a failure.',
    labels: ['name'],
  },
  workqueueQueueSeconds: {
    type: 'histogram',
    name: 'workqueue_queue_duration_seconds',
    help: 'Time a key waited for a worker.',
    labels: ['name'],
    buckets: queueBuckets,
  },
  workqueueWorkSeconds: {
    type: 'histogram',
    name: 'workqueue_work_duration_seconds',
    help: 'Time a key was worked on.',
    labels: ['name'],
    buckets: queueBuckets,
  },
  workqueueUnfinishedSeconds: {
    type: 'gauge',
    name: 'workqueue_unfinished_work_seconds',
    help: 'Time that all keys worked on now have taken so far; what grows steadily is stuck.',
    labels: ['name'],
  },
  leader: {
    type: 'gauge',
    name: 'leader_election_master_status',
    help: '1 while this operator holds the lease, 0 otherwise.',
    labels: ['name'],
  },
  clusters: {
    type: 'gauge',
    name: 'kafscale_operator_clusters',
    help: 'KafScaleCluster resources that the operator looks after.',
    labels: [],
  },
  topics: {
    type: 'gauge',
    name: 'kafscale_operator_topics',
    help: 'KafScaleTopic resources that the operator looks after.',
    labels: [],
  },
  clusterCondition: {
    type: 'gauge',
    name: 'kafscale_operator_cluster_condition',
    help: 'A condition of a cluster: 1 when true, 0 when false, -1 when nobody knows.',
    labels: ['namespace', 'cluster', 'condition'],
  },
  scaleDowns: {
    type: 'counter',
    name: 'kafscale_operator_scale_down_total',
    help: 'Brokers that were to go, by result: removed, forced, timed_out, not_answering, or another_went when Kubernetes took another pod than the drained one.',
    labels: ['result'],
  },
  drainSeconds: {
    type: 'histogram',
    name: 'kafscale_operator_drain_seconds',
    help: 'From the choice of a broker that is to go until the count was lowered.',
    labels: [],
    buckets: [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600],
  },
  informerFailures: {
    type: 'gauge',
    name: 'kafscale_operator_watch_failures',
    help: 'Failures in a row to follow a kind of object; 0 while the operator sees every change.',
    labels: ['kind'],
  },
  etcdSize: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_db_total_size_bytes',
    help: 'Size of the database file of a member of a managed etcd.',
    labels: ['namespace', 'cluster', 'member'],
  },
  etcdInUse: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_db_in_use_bytes',
    help: 'Bytes of it that are in use; the rest is free for new writes.',
    labels: ['namespace', 'cluster', 'member'],
  },
  etcdSizeHigh: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_db_size_high',
    help: '1 while three quarters of the quota are in use.',
    labels: ['namespace', 'cluster', 'member'],
  },
  etcdNoSpace: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_nospace_alarm',
    help: '1 while a managed etcd refuses writes because its quota is used up.',
    labels: ['namespace', 'cluster'],
  },
  etcdSnapshotAge: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_snapshot_age_seconds',
    help: 'Age of the newest snapshot of a managed etcd; missing before the first.',
    labels: ['namespace', 'cluster'],
  },
  etcdSnapshotLastSuccess: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_snapshot_last_success_timestamp',
    help: 'Time of the newest snapshot, seconds since the Unix epoch; missing before the first.',
    labels: ['namespace', 'cluster'],
  },
  etcdSnapshotLastSchedule: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_snapshot_last_schedule_timestamp',
    help: 'When a snapshot was begun last, seconds since the Unix epoch; missing before the first.',
    labels: ['namespace', 'cluster'],
  },
  etcdSnapshotStale: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_snapshot_stale',
    help: '1 while there is no snapshot as young as the resource asks for.',
    labels: ['namespace', 'cluster'],
  },
  etcdSnapshotSuccess: {
    type: 'gauge',
    name: 'kafscale_operator_etcd_snapshot_success',
    help: '1 when the last attempt to take a snapshot succeeded, 0 when it failed or there was none.',
    labels: ['namespace', 'cluster'],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
