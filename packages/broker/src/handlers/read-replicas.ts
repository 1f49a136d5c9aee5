/**
 * Whether a consumer is to read from another broker than the leader (KIP-392): one of its rack that only reads, unless the leader is in
 * that rack, too. A consumer that comes back soon could not be served there, and is served here for a while.
 */
import type { Clock } from '@kafscale/runtime';
import type { PartitionLog } from '../log/partition-log.ts';
import type { MetadataImage } from '../metadata/metadata-image.ts';

export interface ReadingConsumer {
  /** Of the consumer; empty for none. */
  readonly rackId: string;
  readonly connectionId: number;
  /** What it wants of the log. */
  readonly fetchOffset: number;
}

/** Clients stay with the replica for five minutes unless something is wrong there. */
const servedHereMs = 60_000;
const maxRemembered = 10_000;

export class ReadReplicas {
  readonly #clock: Clock;
  /** When a consumer of a partition was sent away; the oldest first. */
  readonly #sentMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The id of the broker to read from; undefined for the leader itself, which also judges offsets that are not in its log. */
  preferred(
    image: Pick<MetadataImage, 'brokers'>,
    log: PartitionLog,
    { rackId, connectionId, fetchOffset }: ReadingConsumer,
    rackOfLeader: string | undefined,
  ): number | undefined {
    if (rackId === '' || rackId === rackOfLeader) return undefined;
    const near = image.brokers().filter(({ readOnly, rack }) => readOnly === true && rack === rackId);
    const isInRange = fetchOffset >= log.logStartOffset && fetchOffset <= log.highWatermark;
    if (near.length === 0 || !isInRange) return undefined;

    const key = `${connectionId}/${log.topicId}/${log.partition}`;
    const nowMs = this.#clock.monotonicMs();
    const sentMs = this.#sentMs.get(key);
    if (sentMs !== undefined && nowMs - sentMs < servedHereMs) return undefined;
    this.#sentMs.delete(key);
    this.#sentMs.set(key, nowMs);
    for (const oldest of this.#sentMs.keys()) {
      if (this.#sentMs.size <= maxRemembered) break;
      this.#sentMs.delete(oldest);
    }
    return near[log.partition % near.length]!.brokerId; // always the same one, whose cache has it
  }
}
