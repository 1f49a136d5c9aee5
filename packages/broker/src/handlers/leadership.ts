/** Who leads a partition, as Metadata and DescribeTopicPartitions tell it. */
import { ErrorCode } from '@kafscale/protocol';
import type { ClusterImage, MetadataImage, TopicImage } from '../metadata/metadata-image.ts';

export interface Leadership {
  readonly errorCode: ErrorCode;
  readonly partitionIndex: number;
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicaNodes: readonly number[];
  readonly isrNodes: readonly number[];
  readonly offlineReplicas: readonly number[];
}

/** The broker that decides who owns what. Admin requests may go to any, so while there is none this one will do. */
export function controllerId(image: Pick<ClusterImage, 'controller' | 'brokerOf'>, thisBroker: number): number {
  const { controller } = image;
  const broker = controller === undefined ? undefined : image.brokerOf(controller);
  return broker?.brokerId ?? thisBroker;
}

/** Answers for many partitions at one moment. */
export class Leaderships {
  readonly #image: MetadataImage;
  /** Of those that may own something. */
  readonly #brokerIds: readonly number[];
  readonly #readOnlyIds: readonly number[];
  /** Where an incarnation is in `brokerIds`. */
  readonly #positions: ReadonlyMap<string, number>;

  constructor(image: MetadataImage) {
    this.#image = image;
    const owning = image.brokers().filter(({ readOnly }) => readOnly !== true);
    this.#brokerIds = owning.map(({ brokerId }) => brokerId);
    this.#positions = new Map(owning.map(({ incarnation }, index) => [incarnation, index]));
    this.#readOnlyIds = image.brokers().flatMap(({ readOnly, brokerId }) => (readOnly === true ? [brokerId] : []));
  }

  /**
   * A partition whose owner is gone has no leader. Replicas are the owner and, up to the topic's replication factor, brokers that
   * could take over: each of them can serve every record. So can those that only read, of which clients make use only where they are
   * among the replicas.
   */
  of({ topicId, replicationFactor }: TopicImage, partition: number): Leadership {
    const state = this.#image.partition(topicId, partition);
    const leaderEpoch = state?.leaderEpoch ?? -1;
    const position = state && this.#positions.get(state.owner);
    if (state === undefined || position === undefined) {
      const offline = state === undefined || state.owner === '' ? [] : [state.brokerId];
      return {
        errorCode: ErrorCode.LEADER_NOT_AVAILABLE,
        partitionIndex: partition,
        leaderId: -1,
        leaderEpoch,
        replicaNodes: offline,
        isrNodes: [],
        offlineReplicas: offline,
      };
    }
    const count = Math.min(replicationFactor, this.#brokerIds.length);
    const replicas = Array.from({ length: Math.max(1, count) }, (_, index) => {
      return this.#brokerIds[(position + index) % this.#brokerIds.length]!;
    });
    replicas.push(...this.#readOnlyIds);
    return {
      errorCode: ErrorCode.NONE,
      partitionIndex: partition,
      leaderId: state.brokerId,
      leaderEpoch,
      replicaNodes: replicas,
      isrNodes: replicas,
      offlineReplicas: [],
    };
  }
}
