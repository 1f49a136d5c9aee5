/**
 * What the control API does with one life of the broker: tells what it owns, has it cordoned, drained and flushed. It knows nothing of
 * how calls come in. A drain takes the road of a stop (cluster/drain.ts), only that the broker stays.
 */
import type {
  BrokerStatus,
  ControlPartition,
  DrainPartitionsRequest,
  DrainPartitionsResponse,
  PartitionState,
  PartitionStatus,
  SetCordonRequest,
  TriggerFlushRequest,
  TriggerFlushResponse,
} from '@kafscale/protocol';
import { withDeadline, type Clock, type Logger } from '@kafscale/runtime';
import { StandingIsFinal, TooManyDrained, type BrokerStanding } from '../cluster/broker-standing.ts';
import { drain } from '../cluster/drain.ts';
import type { Ownership } from '../cluster/ownership.ts';
import type { PartitionLogs } from '../log/partition-logs.ts';
import type { ClusterImage, TopicId } from '../metadata/metadata-image.ts';
import { ControlError } from './control-error.ts';

export interface BrokerControlDependencies {
  readonly brokerId: number;
  readonly incarnation: string;
  readonly image: ClusterImage;
  readonly ownership: Ownership;
  readonly shardOwnership: Ownership;
  readonly logs: PartitionLogs;
  readonly appender: { settled(): Promise<void> };
  readonly standing: BrokerStanding;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isController: () => boolean;
  readonly isSessionAlive: () => boolean;
  readonly objectStoreState: () => string;
  /** How long a drain takes at most that names no deadline. */
  readonly drainLimitMs: number;
}

/** What the process knows, and not a life of the broker. */
export interface ProcessState {
  readonly version: string;
  readonly ready: boolean;
}

const maxDeadlineSeconds = 3_600;
const flushLimitMs = 60_000;
const stateOf: Readonly<Record<'opening' | 'open' | 'leaving', PartitionState>> = {
  opening: 'opening',
  open: 'open',
  leaving: 'handing_over',
};

export class BrokerControl {
  readonly #dependencies: BrokerControlDependencies;
  /** Aborted when the broker is told to take partitions again, or its life ends: nobody waits for a drain then. */
  #drains = new AbortController();
  #isOver = false;

  constructor(dependencies: BrokerControlDependencies) {
    this.#dependencies = dependencies;
  }

  get image(): ClusterImage {
    return this.#dependencies.image;
  }

  /** It is on its way out, or stays without partitions: nobody should be sent to it. */
  get isLeaving(): boolean {
    return this.#dependencies.standing.isLeaving;
  }

  status({ version, ready }: ProcessState): BrokerStatus {
    const { brokerId, incarnation, shardOwnership, standing } = this.#dependencies;
    const { isController, isSessionAlive, objectStoreState } = this.#dependencies;
    const { cordoned, draining } = standing.current;
    return {
      ...{ brokerId, version, ready, incarnation, draining },
      cordoned: cordoned || draining,
      partitions: this.#partitions(),
      coordinatorShards: [...shardOwnership.partitions()].map(({ partition }) => partition).sort((a, b) => a - b),
      objectStoreState: objectStoreState(),
      metadataStoreReachable: isSessionAlive(),
      isController: isController(),
    };
  }

  /** Throws ControlError, MetadataError. */
  async setCordon({ cordoned, reason }: SetCordonRequest): Promise<void> {
    const { standing, logger } = this.#dependencies;
    logger.info({ cordoned, reason }, cordoned ? 'cordoned' : 'takes partitions again');
    await this.#changed(cordoned ? standing.cordon() : standing.uncordon());
    if (cordoned) return;
    this.#drains.abort();
    this.#drains = new AbortController();
  }

  /** `signal`: nobody waits for the answer any more; the drain goes on all the same. Throws ControlError, MetadataError. */
  async drainPartitions(request: DrainPartitionsRequest, signal: AbortSignal): Promise<DrainPartitionsResponse> {
    const { partitions: named, reason, deadlineSeconds } = request;
    if (deadlineSeconds < 0 || deadlineSeconds > maxDeadlineSeconds) {
      throw new ControlError('invalid', `deadline_seconds: expected 0 to ${maxDeadlineSeconds}`);
    }
    const { ownership, shardOwnership, standing, image, incarnation, clock, logger } = this.#dependencies;
    const limitMs = deadlineSeconds === 0 ? this.#dependencies.drainLimitMs : deadlineSeconds * 1_000;
    const isAll = named.length === 0;
    const wanted = isAll ? [...this.#owned()].map(([, partition]) => partition) : named;
    const keys = new Set(wanted.map(keyOf));
    const pending = () => [...this.#owned()].filter(([key]) => keys.has(key)).map(([, partition]) => partition);
    const changed = (over: AbortSignal) => ownership.changed(over);
    const some = {
      get count() {
        return pending().length;
      },
      changed,
    };
    logger.info({ partitions: wanted.length, all: isAll, reason }, 'drains');
    const drainsOver = this.#drains.signal;
    const outcome = await drain(
      {
        ownerships: isAll ? [ownership, shardOwnership] : [some],
        ...{ image, incarnation, clock },
        announce: () => this.#changed(isAll ? standing.drainAll() : standing.drainSome(this.#ids(named))),
        cancelled: AbortSignal.any([signal, drainsOver]),
      },
      limitMs,
    );
    if (this.#isOver)
      throw new ControlError('unavailable', 'the session of this broker is over; what it owned is free');
    // All that it owned meanwhile counts: nobody was to give it more, but somebody may just have done so.
    const left = isAll ? [...this.#owned()].map(([, partition]) => partition) : pending();
    const leftKeys = new Set(left.map(keyOf));
    const drained = wanted.filter((partition) => !leftKeys.has(keyOf(partition)));
    logger.info({ outcome, drained: drained.length, pending: left.length }, 'drained');
    return { drained, pending: left, pendingCoordinatorShards: isAll ? shardOwnership.count : 0 };
  }

  /** Resolves when all that was accepted for them before the call has its outcome, and is durable if it was to be. Throws ControlError. */
  async triggerFlush(
    { partitions, allAssigned }: TriggerFlushRequest,
    signal: AbortSignal,
  ): Promise<TriggerFlushResponse> {
    const { appender, clock } = this.#dependencies;
    if (!allAssigned && partitions.length === 0) {
      throw new ControlError('invalid', 'partitions: expected at least one, or all_assigned');
    }
    const keys = new Set(partitions.map(keyOf));
    const flushed = [...this.#owned()].filter(([key]) => allAssigned || keys.has(key)).map(([, owned]) => owned);
    if (flushed.length === 0) return { flushed };
    try {
      await withDeadline(clock, flushLimitMs, (late) =>
        Promise.race([appender.settled(), aborted(signal), aborted(late)]),
      );
    } catch (error) {
      throw new ControlError('late', 'what was accepted is not durable yet', { cause: error });
    }
    if (this.#isOver) throw new ControlError('unavailable', 'the session of this broker is over');
    return { flushed };
  }

  /** The life is over; whoever waits is told. */
  close(): void {
    this.#isOver = true;
    this.#drains.abort();
  }

  #partitions(): PartitionStatus[] {
    const { ownership, logs, brokerId } = this.#dependencies;
    const nameOf = this.#topicNames();
    const partitions: PartitionStatus[] = [];
    for (const { topicId, partition, phase, record } of ownership.partitions()) {
      const log = logs.get(topicId, partition);
      const end = log?.highWatermark ?? Number(record?.nextOffset ?? 0n);
      partitions.push({
        ...{ topic: nameOf(topicId), partition, leader: brokerId, state: stateOf[phase] },
        logStartOffset: log?.logStartOffset ?? Number(record?.logStartOffset ?? 0n),
        // Nobody can see what is not committed: the log ends at the high watermark.
        ...{ logEndOffset: end, highWatermark: end },
      });
    }
    return partitions;
  }

  /** By the key of each. */
  *#owned(): Iterable<readonly [string, ControlPartition]> {
    const nameOf = this.#topicNames();
    for (const { topicId, partition } of this.#dependencies.ownership.partitions()) {
      const owned = { topic: nameOf(topicId), partition };
      yield [keyOf(owned), owned];
    }
  }

  #topicNames(): (topicId: TopicId) => string {
    const { image } = this.#dependencies;
    const deleting = new Map([...image.deletingTopics()].map(({ topicId, name }) => [topicId, name]));
    return (topicId) => image.topicById(topicId)?.name ?? deleting.get(topicId) ?? '';
  }

  /** Those that exist: one that does not is nobody's, and so drained. */
  #ids(partitions: readonly ControlPartition[]) {
    const { image } = this.#dependencies;
    return partitions.flatMap(({ topic: name, partition }) => {
      const topic = image.topic(name);
      const exists = topic !== undefined && partition >= 0 && partition < topic.partitionCount;
      return exists ? [{ topicId: topic.topicId, partition }] : [];
    });
  }

  async #changed(change: Promise<void>): Promise<void> {
    try {
      await change;
    } catch (error) {
      if (error instanceof StandingIsFinal) throw new ControlError('not-possible', error.message, { cause: error });
      if (error instanceof TooManyDrained) throw new ControlError('invalid', error.message, { cause: error });
      throw error;
    }
  }
}

const keyOf = ({ topic, partition }: ControlPartition) => `${topic}/${partition}`;

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const refuse = () => reject(signal.reason as Error);
    if (signal.aborted) refuse();
    else signal.addEventListener('abort', refuse, { once: true });
  });
}
