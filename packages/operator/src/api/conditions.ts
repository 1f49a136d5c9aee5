/**
 * The conditions of both resources, with every reason each can have: the one table, from which the reference page is printed. A
 * condition is an observation of its own; none is worked out from another but `Ready`.
 */
import { z } from 'zod';

interface ConditionDescription {
  readonly meaning: string;
  /** What `reason` can be, and what it means to a user. */
  readonly reasons: Readonly<Record<string, string>>;
}

const describe = <const Table extends Readonly<Record<string, ConditionDescription>>>(table: Table) => table;

export const clusterConditions = describe({
  Ready: {
    meaning: 'As many brokers as wanted serve clients, with the configuration that the resource asks for.',
    reasons: {
      AllBrokersReady: 'Every wanted broker is ready.',
      ScaledToZero: 'No broker is wanted; records and metadata are kept.',
      BrokersNotReady: 'Fewer brokers are ready than wanted.',
      EtcdNotReady: 'The managed etcd has no quorum, so no broker can be ready.',
      InvalidSpec: 'The resource asks for something that cannot be; the message says what.',
      MissingSecret: 'A secret that the resource names does not exist or lacks a key.',
      Denied: 'The API server refused an object of the cluster: quota, admission or permission.',
    },
  },
  Progressing: {
    meaning: 'Something is being changed: brokers start, drain or are replaced.',
    reasons: {
      ScalingUp: 'Brokers are being added.',
      ScalingDown: 'A broker is being drained, to be removed.',
      RollingOut: 'Brokers are replaced one after another.',
      StartingEtcd: 'The managed etcd is starting.',
      Restoring: 'The managed etcd is being restored from a snapshot.',
      Settled: 'Nothing is changing.',
    },
  },
  Degraded: {
    meaning: 'Clients are served, but something needs attention.',
    reasons: {
      BrokersUnavailable: 'Some brokers are not ready for longer than a start takes.',
      ImageUnavailable: 'An image cannot be pulled or started.',
      RolloutStuck: 'A change does not get on; it can be taken back.',
      EtcdMemberLost: 'A member of the managed etcd is missing.',
      EtcdNearlyFull: 'etcd uses most of its quota.',
      ObjectStoreDegraded: 'Brokers report errors or slow answers of the object store.',
      Healthy: 'Nothing of that kind.',
    },
  },
  EtcdAvailable: {
    meaning: 'etcd answers.',
    reasons: {
      Answering: 'It answers, with a quorum.',
      NotAnswering: 'No endpoint answers.',
      NoQuorum: 'Members answer, but too few for a quorum.',
      OutOfSpace: 'etcd refuses writes because it is full.',
      Starting: 'The managed etcd has not been ready yet.',
      Unknown: 'Nobody could ask yet.',
    },
  },
  S3Reachable: {
    meaning: 'Brokers can store and read objects.',
    reasons: {
      Healthy: 'All brokers say so.',
      Degraded: 'Some calls fail or are slow.',
      Unavailable: 'Brokers cannot store anything.',
      Unknown: 'No broker has reported yet.',
    },
  },
  SnapshotHealthy: {
    meaning: 'The newest snapshot of the managed etcd is young enough.',
    reasons: {
      Fresh: 'It is.',
      Stale: 'The newest one is too old.',
      NeverTaken: 'There is none yet.',
      Failing: 'The last attempts failed.',
      NotManaged: 'etcd is not managed here; whoever runs it takes snapshots.',
    },
  },
  ScaleDownBlocked: {
    meaning: 'Fewer brokers are wanted, and the next one cannot go.',
    reasons: {
      DrainTimedOut: 'It could not hand everything over within its deadline; trying again.',
      BrokerNotAnswering: 'Its control port does not answer.',
      RolloutRunning: 'Brokers are being replaced; scaling down waits for the end.',
      NoHeir: 'No other broker is ready to take over.',
      NotBlocked: 'Nothing is in the way.',
    },
  },
  TopicsSynced: {
    meaning: 'The topics of all KafScaleTopic resources are as these say.',
    reasons: {
      AllSynced: 'They are.',
      SomeNotSynced: 'Some are not; each resource says why.',
    },
  },
});

export const topicConditions = describe({
  Ready: {
    meaning: 'The topic exists as the resource says.',
    reasons: {
      Synced: 'It does.',
      ClusterNotFound: 'There is no KafScaleCluster of the name in `clusterRef` in this namespace.',
      ClusterNotReady: 'The cluster has no broker that answers yet.',
      PartitionsCannotShrink: 'The topic has more partitions than asked for; Kafka cannot take any away.',
      Refused: 'The brokers refused the change; the message holds their error.',
      NameTaken: 'Another resource describes the topic of this name already.',
      Deleting: 'The topic is being deleted.',
      Unreachable: 'No broker answered; trying again.',
    },
  },
});

export type ClusterConditionType = keyof typeof clusterConditions;
export type TopicConditionType = keyof typeof topicConditions;
export type ClusterConditionReason<Type extends ClusterConditionType> =
  keyof (typeof clusterConditions)[Type]['reasons'] & string;
export type TopicConditionReason = keyof (typeof topicConditions)['Ready']['reasons'];

/** As `metav1.Condition`. */
export const conditionSchema = z.strictObject({
  type: z.string().max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().min(1).max(1_024),
  message: z.string().max(32_768),
  lastTransitionTime: z.string().meta({ format: 'date-time' }),
  observedGeneration: z.int().min(0).optional(),
});

export type Condition = z.output<typeof conditionSchema>;

/** A list of them, one for each type. */
export const conditionList = () =>
  z.array(conditionSchema).meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });
