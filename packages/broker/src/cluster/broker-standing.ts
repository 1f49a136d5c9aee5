/**
 * What the controller may give this broker, as its registration says it: everything, nothing more (cordoned), nothing at all
 * (draining), or all but some (drained). It is stored with the broker's record, so that every controller sees it, and ends with the
 * incarnation.
 */
import type { TopicId } from '../metadata/metadata-image.ts';

export interface Standing {
  /** It is to own nothing, and hands over what it has. */
  readonly draining: boolean;
  /** It keeps what it has, and is given more only where nobody else could take it. */
  readonly cordoned: boolean;
  /** Partitions that it hands over, and is not given back while somebody else can have them. Who has any is cordoned. */
  readonly drained: ReadonlyMap<TopicId, ReadonlySet<number>>;
}

export interface TopicPartitionId {
  readonly topicId: TopicId;
  readonly partition: number;
}

/** Every broker reads it whenever one changes its record. */
export const maxDrainedPartitions = 10_000;

/** More partitions were drained one by one than the broker's record has room for. */
export class TooManyDrained extends Error {
  override readonly name = 'TooManyDrained';
}

/** A change that comes too late: the broker is about to stop. */
export class StandingIsFinal extends Error {
  override readonly name = 'StandingIsFinal';
}

export const inService: Standing = { draining: false, cordoned: false, drained: new Map() };

export class BrokerStanding {
  readonly #store: (standing: Standing) => Promise<unknown>;
  readonly #initial: Standing;
  #current: Standing;
  #isFinal = false;
  #drainedForGood: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(initial: Standing, store: (standing: Standing) => Promise<unknown>) {
    this.#initial = initial;
    this.#current = initial;
    this.#store = store;
  }

  /** As it is stored. */
  get current(): Standing {
    return this.#current;
  }

  /** It hands over what it owns, or is about to stop: clients are better sent elsewhere. */
  get isLeaving(): boolean {
    return this.#isFinal || (this.#current.draining && !this.#initial.draining);
  }

  /** It stays so until `uncordon`. Throws MetadataError, and StandingIsFinal; so do the others. */
  cordon(): Promise<void> {
    return this.#change((standing) => (standing.cordoned ? standing : { ...standing, cordoned: true }));
  }

  /** It takes partitions again, those that were drained too. */
  uncordon(): Promise<void> {
    return this.#change(() => this.#initial);
  }

  drainAll(): Promise<void> {
    return this.#change((standing) => (standing.draining ? standing : { ...standing, draining: true, cordoned: true }));
  }

  /** As `drainAll`, and nothing changes it any more: the process is about to stop. */
  drainForGood(): Promise<void> {
    this.#drainedForGood ??= this.drainAll();
    this.#isFinal = true;
    return this.#drainedForGood;
  }

  /** Throws TooManyDrained besides. */
  drainSome(partitions: readonly TopicPartitionId[]): Promise<void> {
    return this.#change((standing) => withDrained(standing, partitions));
  }

  /** One after another; stored when the promise resolves. */
  #change(change: (standing: Standing) => Standing): Promise<void> {
    if (this.#isFinal) return Promise.reject(new StandingIsFinal('the broker is about to stop'));
    const changed = this.#last.then(async () => {
      const next = change(this.#current);
      if (next === this.#current) return;
      await this.#store(next);
      this.#current = next;
    });
    this.#last = changed.catch(() => undefined);
    return changed;
  }
}

function withDrained(standing: Standing, partitions: readonly TopicPartitionId[]): Standing {
  const drained = new Map([...standing.drained].map(([topicId, numbers]) => [topicId, new Set(numbers)] as const));
  let changes = !standing.cordoned;
  for (const { topicId, partition } of partitions) {
    const numbers = drained.get(topicId) ?? new Set<number>();
    if (numbers.has(partition)) continue;
    drained.set(topicId, numbers.add(partition));
    changes = true;
  }
  if (!changes) return standing;
  const count = [...drained.values()].reduce((sum, { size }) => sum + size, 0);
  if (count > maxDrainedPartitions) {
    throw new TooManyDrained(
      `at most ${maxDrainedPartitions} partitions can be drained by name; drain them all instead`,
    );
  }
  return { ...standing, cordoned: true, drained };
}
