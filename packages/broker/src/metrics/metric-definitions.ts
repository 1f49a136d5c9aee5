/**
 * Every metric of the broker: name, kind, labels and help text. The instruments, the reference page and the tests come from this
 * table. Base units; names that end in `_ms` are those of existing KafScale dashboards. Labels are bounded: API names, reasons.
 */

export interface MetricDefinition {
  readonly name: `kafscale_${string}`;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, for a histogram. */
  readonly buckets?: readonly number[];
}

type Name = MetricDefinition['name'];

const counter = <const Labels extends readonly string[] = readonly []>(name: Name, help: string, labels?: Labels) =>
  ({ name, type: 'counter', help, labels: labels ?? [] }) as const;

const gauge = <const Labels extends readonly string[] = readonly []>(name: Name, help: string, labels?: Labels) =>
  ({ name, type: 'gauge', help, labels: labels ?? [] }) as const;

const histogram = <const Labels extends readonly string[] = readonly []>(
  name: Name,
  help: string,
  buckets: readonly number[],
  labels?: Labels,
) => ({ name, type: 'histogram', help, buckets, labels: labels ?? [] }) as const;

const secondBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const millisecondBuckets = secondBuckets.map((seconds) => seconds * 1_000);
const byteBuckets = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536].map((kibibytes) => kibibytes * 1_024);
const drainBuckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const lagBuckets = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const countBuckets = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000];

export const metricDefinitions = {
  produceRequests: counter('kafscale_produce_requests_total', 'Produce requests received.'),
  fetchRequests: counter('kafscale_fetch_requests_total', 'Fetch requests received.'),
  produceRps: gauge('kafscale_produce_rps', 'Produce requests per second over the last minute.'),
  fetchRps: gauge('kafscale_fetch_rps', 'Fetch requests per second over the last minute.'),
  produceLatencyMs: histogram(
    'kafscale_produce_latency_ms',
    'Milliseconds from the arrival of a Produce request to its answer.',
    millisecondBuckets,
  ),
  requestDurationSeconds: histogram(
    'kafscale_request_duration_seconds',
    'Seconds from the arrival of a request to its answer; a fetch that waits for records counts its wait.',
    secondBuckets,
    ['api'],
  ),
  requestErrors: counter('kafscale_request_errors_total', 'Requests that failed as a whole.', ['api', 'error']),
  adminRequests: counter('kafscale_admin_requests_total', 'Admin requests received.', ['api']),
  adminRequestErrors: counter('kafscale_admin_request_errors_total', 'Admin requests that failed as a whole.', ['api']),
  adminRequestLatencyMsAvg: gauge(
    'kafscale_admin_request_latency_ms_avg',
    'Mean milliseconds from the arrival of an admin request to its answer, of the last minute; 0 when there was none.',
    ['api'],
  ),
  consumerLag: histogram(
    'kafscale_consumer_lag',
    'Records between the offset a consumer fetched from and the high watermark, of every partition in an answer with news of it.',
    lagBuckets,
  ),
  consumerLagMax: gauge('kafscale_consumer_lag_max', 'The largest of these since the last scrape, in records.'),

  connections: gauge('kafscale_connections', 'Open client connections.'),
  connectionsOpened: counter('kafscale_connections_opened_total', 'Client connections taken on.'),
  connectionsRefused: counter('kafscale_connections_refused_total', 'Client connections closed on arrival.', [
    'reason',
  ]),
  connectionsClosed: counter('kafscale_connections_closed_total', 'Client connections that ended.', ['reason']),
  receivedBytes: counter('kafscale_network_received_bytes_total', 'Bytes received from clients.'),
  sentBytes: counter('kafscale_network_sent_bytes_total', 'Bytes sent to clients.'),
  inFlightRequestBytes: gauge(
    'kafscale_in_flight_request_bytes',
    'Bytes of requests that arrived and are not answered.',
  ),
  memoryBytes: gauge(
    'kafscale_memory_bytes',
    'Memory for records by what it is held for: requests, flushes, hot-tail, folding, answers, cache, takeover, free (kept for reuse).',
    ['purpose'],
  ),
  memoryLimitBytes: gauge('kafscale_memory_limit_bytes', 'Memory that the process is to stay within.'),
  recordMemoryLimitBytes: gauge(
    'kafscale_record_memory_limit_bytes',
    'Of that, what requests, flushes, the hot tail, folding and answers share.',
  ),
  requestMemoryBytes: gauge('kafscale_request_memory_bytes', 'Memory in use for arriving requests.'),

  producedBytes: counter('kafscale_produced_bytes_total', 'Bytes of record batches that were committed.'),
  producedBatches: counter('kafscale_produced_batches_total', 'Record batches that were committed.'),
  fetchedBytes: counter('kafscale_fetched_bytes_total', 'Bytes of record batches handed to consumers.'),
  segmentFlushDurationSeconds: histogram(
    'kafscale_segment_flush_duration_seconds',
    'Seconds from the close of a flush to its commit.',
    secondBuckets,
  ),
  flushBytes: histogram('kafscale_flush_bytes', 'Bytes of a flush object.', byteBuckets),
  flushBatches: histogram('kafscale_flush_batches', 'Record batches in a flush object.', countBuckets),
  flushPartitions: histogram('kafscale_flush_partitions', 'Partitions in a flush object.', countBuckets),
  flushFailures: counter('kafscale_flush_failures_total', 'Flushes that failed, with everything accepted after them.'),
  commitDurationSeconds: histogram(
    'kafscale_commit_duration_seconds',
    'Seconds of a metadata transaction of the data lane.',
    secondBuckets,
  ),

  manifests: gauge('kafscale_manifests', 'Manifests of this broker in the metadata store, on no shelf yet.'),
  shelves: gauge('kafscale_shelves', 'Shelves of this broker in the metadata store.'),
  unfoldedExtents: gauge(
    'kafscale_unfolded_extents',
    'Runs of record batches in flush objects that are not folded yet.',
  ),
  unfoldedBytes: gauge('kafscale_unfolded_bytes', 'Bytes of record batches in flush objects that are not folded yet.'),
  foldDurationSeconds: histogram(
    'kafscale_fold_duration_seconds',
    'Seconds of a round of folding, from choosing what it takes to its publication.',
    secondBuckets,
  ),
  foldedBytes: counter('kafscale_folded_bytes_total', 'Bytes of record batches that were rewritten by partition.'),
  foldedPartitions: counter(
    'kafscale_folded_partitions_total',
    'Partition records that were written to publish a fold.',
  ),
  foldFailures: counter('kafscale_fold_failures_total', 'Rounds of folding that failed and are tried again.'),
  produceDelaySeconds: gauge(
    'kafscale_produce_delay_seconds',
    'By how much answers to producers are held back, because metadata grows faster than it is folded away.',
  ),
  metadataBytes: gauge('kafscale_metadata_bytes', "Size of the metadata store's database, free pages included."),
  metadataInUseBytes: gauge(
    'kafscale_metadata_in_use_bytes',
    "The part of the metadata store's database that is in use.",
  ),
  metadataQuotaBytes: gauge(
    'kafscale_metadata_quota_bytes',
    'Size of its database from which the metadata store refuses writes; 0 while it is not known.',
  ),

  s3UploadDurationSeconds: histogram(
    'kafscale_s3_upload_duration_seconds',
    'Seconds to create an object, in whichever object store is in use.',
    secondBuckets,
  ),
  s3UploadDurationMs: histogram(
    'kafscale_s3_upload_duration_ms',
    'Milliseconds to create an object, in whichever object store is in use.',
    millisecondBuckets,
  ),
  s3DownloadDurationMs: histogram(
    'kafscale_s3_download_duration_ms',
    'Milliseconds to read from an object, in whichever object store is in use.',
    millisecondBuckets,
  ),
  objectStoreRequestDurationSeconds: histogram(
    'kafscale_object_store_request_duration_seconds',
    'Seconds of one request to the object store, each attempt by itself; `ok` or how it failed.',
    secondBuckets,
    ['operation', 'outcome'],
  ),
  objectStoreHedgedReads: counter(
    'kafscale_object_store_hedged_reads_total',
    'Reads that were asked for a second time because the first request was slow, by whether the second answered first.',
    ['won'],
  ),
  objectStoreReplicaFallbacks: counter(
    'kafscale_object_store_replica_fallbacks_total',
    'Reads that went to the bucket because the read replica did not have or give the object, or was left alone.',
    ['reason'],
  ),
  s3HealthState: gauge(
    'kafscale_s3_health_state',
    'State of the object store: 1 for the one it is in, 0 for the others.',
    ['state'],
  ),
  s3LatencyMsAvg: gauge('kafscale_s3_latency_ms_avg', 'Mean milliseconds of creates and reads in the health window.'),
  s3ErrorRate: gauge('kafscale_s3_error_rate', 'Share of creates and reads in the health window that failed, 0 to 1.'),
  s3StateDurationSeconds: gauge(
    'kafscale_s3_state_duration_seconds',
    'Seconds since the state of the object store changed last.',
  ),
  objectStoreErrors: counter('kafscale_object_store_errors_total', 'Failed calls of the object store.', [
    'operation',
    'kind',
  ]),
  cacheHitRatio: gauge('kafscale_cache_hit_ratio', 'Share of record reads served from memory since the start, 0 to 1.'),
  cacheBytes: gauge('kafscale_cache_bytes', 'Memory of the block cache.'),
  knownFlushBytes: gauge(
    'kafscale_known_flush_bytes',
    'Memory of what is known beforehand of all flushes, for partitions that come from other brokers.',
  ),
  hotTailBytes: gauge('kafscale_hot_tail_bytes', 'Memory of the newest flush objects.'),

  garbageDeletedObjects: counter(
    'kafscale_gc_deleted_objects_total',
    'Objects deleted because nothing referred to them.',
  ),
  garbageDeletedBytes: counter(
    'kafscale_gc_deleted_bytes_total',
    'Bytes of objects deleted because nothing referred to them.',
  ),
  garbageObjects: gauge('kafscale_gc_garbage_objects', 'Objects found by the last search that will be deleted.'),
  unknownObjects: gauge(
    'kafscale_gc_unknown_objects',
    'Objects found by the last search that are not of this cluster; never touched.',
  ),
  garbageLastRun: gauge(
    'kafscale_gc_last_run_timestamp_seconds',
    'When the last search for garbage ended, in seconds since 1970.',
  ),
  garbageFailures: counter('kafscale_gc_failures_total', 'Searches for garbage that ended early.'),
  checkpointLastRun: gauge(
    'kafscale_checkpoint_last_timestamp_seconds',
    'When the metadata was last copied into the bucket, in seconds since 1970.',
  ),
  checkpointFailures: counter(
    'kafscale_checkpoint_failures_total',
    'Copies of the metadata into the bucket that failed.',
  ),

  partitions: gauge('kafscale_partitions', 'Partitions this broker owns.'),
  ownedPartitions: gauge(
    'kafscale_owned_partitions',
    'Partitions (`kind="topic"`) and shards of groups (`kind="group_shard"`) whose record names this broker: being opened, in service (`open`), or on their way to another broker (`leaving`).',
    ['kind', 'phase'],
  ),
  wantedPartitions: gauge('kafscale_wanted_partitions', 'What is assigned to this broker and does not name it yet.', [
    'kind',
  ]),
  unownedPartitions: gauge(
    'kafscale_unowned_partitions',
    'What no living broker owns, in the whole cluster: only the controller says so, the others 0.',
    ['kind'],
  ),
  misplacedPartitions: gauge(
    'kafscale_misplaced_partitions',
    'What a living broker owns although it is assigned to another, in the whole cluster: only the controller says so, the others 0.',
    ['kind'],
  ),
  takeovers: counter('kafscale_takeovers_total', 'Partitions taken here from brokers whose session had ended.', [
    'kind',
  ]),
  takeoverDurationSeconds: histogram(
    'kafscale_takeover_duration_seconds',
    'Seconds from finding that a partition is to be taken to serving it, for each one taken from nobody, from a dead broker or from its giver.',
    secondBuckets,
    ['kind'],
  ),
  handOvers: counter(
    'kafscale_handovers_total',
    'Partitions that changed owners between living brokers: `given` by this one, or `received`.',
    ['kind', 'direction'],
  ),
  handOverDurationSeconds: histogram(
    'kafscale_handover_duration_seconds',
    'Seconds from the moment a partition takes no more batches here until its record names the heir, for each one given.',
    secondBuckets,
    ['kind'],
  ),
  handOverFailures: counter(
    'kafscale_handover_failures_total',
    'Partitions that were to be given to another broker and stayed, since that one had gone.',
    ['kind'],
  ),
  openFailures: counter(
    'kafscale_partition_open_failures_total',
    'Partitions that could not be opened when this broker came to own them; they are tried again.',
    ['kind'],
  ),
  drains: counter(
    'kafscale_drains_total',
    'Drains before a stop: everything handed over (`empty`), nobody there to take it (`alone`), or out of time (`late`).',
    ['outcome'],
  ),
  drainDurationSeconds: histogram('kafscale_drain_duration_seconds', 'Seconds of a drain before a stop.', drainBuckets),
  brokerDraining: gauge('kafscale_broker_draining', '1 while this broker is to own nothing, otherwise 0.'),
  brokerCordoned: gauge('kafscale_broker_cordoned', '1 while this broker is to be given nothing more, otherwise 0.'),

  controllerActive: gauge('kafscale_controller_active', '1 on the broker that is the controller, otherwise 0.'),
  controllerBrokerId: gauge(
    'kafscale_controller_broker_id',
    'Id of the broker that is the controller, as this broker knows it; -1 when it knows of none.',
  ),
  controllerElections: counter('kafscale_controller_elections_total', 'How often this broker became the controller.'),
  controllerFailures: counter(
    'kafscale_controller_failures_total',
    'Rounds of the controller on this broker that failed and are tried again.',
  ),
  assignmentsWritten: counter(
    'kafscale_assignments_written_total',
    "Assignments of a topic's partitions to brokers that this broker wrote as the controller.",
  ),
  followedPartitions: gauge(
    'kafscale_followed_partitions',
    'Partitions of other brokers whose log is open here, on a broker that only reads.',
  ),
  topics: gauge('kafscale_topics', 'Topics of the cluster.'),
  consumerGroups: gauge('kafscale_consumer_groups', 'Consumer groups this broker coordinates.'),

  uptimeSeconds: gauge('kafscale_broker_uptime_seconds', 'Seconds since the broker started.'),
  cpuPercent: gauge('kafscale_broker_cpu_percent', 'Processor time since the last scrape, in percent of one core.'),
  memoryAllocatedBytes: gauge('kafscale_broker_mem_alloc_bytes', 'Bytes of JavaScript objects and buffers in use.'),
  memorySystemBytes: gauge('kafscale_broker_mem_sys_bytes', 'Resident memory of the process.'),
  heapInUseBytes: gauge('kafscale_broker_heap_inuse_bytes', 'JavaScript heap in use.'),
  eventLoopDelayP99Seconds: gauge(
    'kafscale_event_loop_delay_p99_seconds',
    'Delay of the event loop since the last scrape, 99th percentile.',
  ),
  eventLoopDelayMaxSeconds: gauge(
    'kafscale_event_loop_delay_max_seconds',
    'Longest delay of the event loop since the last scrape.',
  ),
} as const satisfies Readonly<Record<string, MetricDefinition>>;
