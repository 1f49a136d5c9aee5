/**
 * The topics of one Kafka cluster as its brokers describe them, for all resources together: one look serves many, a periodic one finds
 * what was changed elsewhere, and writes are gathered. 1 000 topics cost a dozen requests each period. Offsets move all the time
 * and every report of one is a write to the API server, so they are asked for rarely and for so many topics at once only.
 */
import { ErrorCode } from '@kafscale/protocol';
import type { CancelTimer, Clock, Logger } from '@kafscale/runtime';
import { reportedPartitions } from '../../api/topic.ts';
import type { ConfigChange, DescribedTopic, KafkaAdmin, KafkaAdminError, NewTopic } from '../../brokers/kafka-admin.ts';
import { Batch } from './batch.ts';

export type TopicAdmin = Pick<
  KafkaAdmin,
  'topics' | 'configs' | 'createTopics' | 'createPartitions' | 'alterConfigs' | 'deleteTopics' | 'offsetsOf' | 'close'
>;

export interface PartitionFigures {
  readonly id: number;
  readonly leader: number;
  readonly logStartOffset?: number;
  readonly logEndOffset?: number;
}

/** A topic when it was looked at last. */
export interface SeenTopic {
  readonly topicId: string;
  /** Broker ids by partition; -1 for nobody. */
  readonly leaders: readonly number[];
  /** What was set for it alone, of the settings that were asked for. */
  readonly configs: ReadonlyMap<string, string>;
  /** As sampled last, which may be a while ago; undefined before the first sample. */
  readonly figures: readonly PartitionFigures[] | undefined;
}

interface Entry {
  readonly seen: SeenTopic | undefined;
  /** Of settings. */
  readonly names: ReadonlySet<string>;
  readonly atMs: number;
}

export interface TopicCatalogueSettings {
  readonly admin: TopicAdmin;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The topics that resources are about, and which of their settings matter. */
  readonly watched: () => ReadonlyMap<string, ReadonlySet<string>>;
  /** Something about the topic differs from what was seen before, or the brokers can be asked again, or not any more. */
  readonly onChange: (topicName: string) => void;
  /** No resource is about a topic of this cluster any more. */
  readonly onIdle: () => void;
  readonly lookEveryMs?: number;
  readonly figures?: Partial<FigureLimits>;
}

interface FigureLimits {
  /** Of one topic. */
  readonly everyMs: number;
  /** Of all of them together: what they may cost in writes of statuses. */
  readonly perSecond: number;
}

/** So soon is noticed what others changed. */
const defaultLookEveryMs = 30_000;
/** A person who looks at offsets wants to see whether they move, and 1 000 topics must not keep the API server busy. */
const defaultFigures: FigureLimits = { everyMs: 60_000, perSecond: 5 };
/** After a failure. */
const probeEveryMs = 5_000;

export class TopicCatalogue {
  readonly #settings: TopicCatalogueSettings;
  readonly #entries = new Map<string, Entry>();
  readonly #sampledAtMs = new Map<string, number>();
  readonly #looks: Batch<ReadonlySet<string>, SeenTopic | undefined>;
  readonly #creates: Batch<NewTopic, KafkaAdminError | undefined>;
  readonly #growths: Batch<number, KafkaAdminError | undefined>;
  readonly #alterations: Batch<ConfigChange, KafkaAdminError | undefined>;
  readonly #deletions: Batch<string, KafkaAdminError | undefined>;
  /** Counts writes; of each topic the last one, so that a look from before it is not believed. */
  #writes = 0;
  readonly #lastWrite = new Map<string, number>();
  #failure: Error | undefined;
  #cancel: CancelTimer = () => undefined;
  #isRefreshing = false;
  #isClosed = false;

  constructor(settings: TopicCatalogueSettings) {
    this.#settings = settings;
    const { clock, admin } = settings;
    this.#looks = new Batch({ clock, send: (asked) => this.#look(asked) });
    this.#creates = new Batch({ clock, send: (topics) => admin.createTopics([...topics.values()]) });
    this.#growths = new Batch({
      clock,
      send: (counts) => admin.createPartitions([...counts].map(([name, count]) => ({ name, count }))),
    });
    this.#alterations = new Batch({ clock, send: (changes) => admin.alterConfigs([...changes.values()]) });
    this.#deletions = new Batch({ clock, send: (names) => admin.deleteTopics([...names.keys()]) });
    this.#refreshAfter(this.#lookEveryMs);
  }

  get #lookEveryMs(): number {
    return this.#settings.lookEveryMs ?? defaultLookEveryMs;
  }

  /**
   * The topic, with these of its settings; undefined when there is none. As it was at most two periods ago, and newer than every write
   * from here. Rejects with KafkaUnreachable, KafkaAdminError; at once while the last look failed.
   */
  async topic(name: string, configNames: ReadonlySet<string>): Promise<SeenTopic | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    const known = this.#entries.get(name);
    if (known !== undefined && this.#settings.clock.monotonicMs() - known.atMs <= 2 * this.#lookEveryMs) {
      if ([...configNames].every((one) => known.names.has(one))) return known.seen;
    }
    return this.#looks.ask(name, configNames);
  }

  create(topic: NewTopic): Promise<KafkaAdminError | undefined> {
    return this.#written(topic.name, this.#creates.ask(topic.name, topic));
  }

  grow(name: string, count: number): Promise<KafkaAdminError | undefined> {
    return this.#written(name, this.#growths.ask(name, count));
  }

  alter(change: ConfigChange): Promise<KafkaAdminError | undefined> {
    return this.#written(change.name, this.#alterations.ask(change.name, change));
  }

  delete(name: string): Promise<KafkaAdminError | undefined> {
    return this.#written(name, this.#deletions.ask(name, name));
  }

  close(): void {
    this.#isClosed = true;
    this.#cancel();
    this.#settings.admin.close();
  }

  async #written<Result>(name: string, writing: Promise<Result>): Promise<Result> {
    try {
      return await writing;
    } finally {
      this.#writes += 1;
      this.#lastWrite.set(name, this.#writes);
      this.#entries.delete(name);
    }
  }

  /** Looks at these topics and remembers what it saw. */
  async #look(asked: ReadonlyMap<string, ReadonlySet<string>>): Promise<ReadonlyMap<string, SeenTopic | undefined>> {
    const { admin, clock } = this.#settings;
    const writesBefore = this.#writes;
    try {
      const described = new Map((await admin.topics([...asked.keys()])).map((topic) => [topic.name, topic]));
      const configured = [...described.keys()].filter((name) => asked.get(name)!.size > 0);
      const configs = await admin.configs(configured, (name) => [...asked.get(name)!]);
      const atMs = clock.monotonicMs();
      this.#succeeded();
      const looked = [...asked].map(([name, names]) => {
        const topic = described.get(name);
        const own = (configs.get(name) ?? []).filter(({ isOwn, value }) => isOwn && value !== null);
        const seen = topic && {
          topicId: topic.topicId,
          leaders: topic.partitions.map(({ leaderId }) => leaderId),
          configs: new Map(own.map((config) => [config.name, config.value!])),
          figures: this.#figuresOf(topic),
        };
        if ((this.#lastWrite.get(name) ?? 0) <= writesBefore) this.#entries.set(name, { seen, names, atMs });
        return [name, seen] as const;
      });
      return new Map(looked);
    } catch (error) {
      this.#failed(error as Error);
      throw error;
    }
  }

  /** Of this very topic and as many partitions. */
  #figuresOf({ name, topicId, partitions }: DescribedTopic): SeenTopic['figures'] {
    const before = this.#entries.get(name)?.seen;
    return before?.topicId === topicId && before.leaders.length === partitions.length ? before.figures : undefined;
  }

  #refreshAfter(delayMs: number): void {
    this.#cancel();
    if (!this.#isClosed) this.#cancel = this.#settings.clock.schedule(delayMs, () => void this.#refresh());
  }

  async #refresh(): Promise<void> {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    try {
      await this.#lookAtAll();
      await this.#sampleFigures();
    } catch (error) {
      this.#settings.logger.debug({ err: error }, 'topics could not be looked at');
    } finally {
      this.#isRefreshing = false;
      this.#refreshAfter(this.#failure === undefined ? this.#lookEveryMs : probeEveryMs);
    }
  }

  async #lookAtAll(): Promise<void> {
    const { watched, onChange, onIdle } = this.#settings;
    const all = watched();
    for (const name of [...this.#entries.keys(), ...this.#lastWrite.keys(), ...this.#sampledAtMs.keys()]) {
      if (!all.has(name)) this.#forget(name);
    }
    if (all.size === 0) {
      onIdle();
      return;
    }
    const before = new Map(this.#entries);
    await this.#look(all);
    for (const [name, known] of before) {
      const now = this.#entries.get(name);
      if (now !== undefined && !isSame(known, now)) onChange(name);
    }
  }

  #forget(name: string): void {
    this.#entries.delete(name);
    this.#lastWrite.delete(name);
    this.#sampledAtMs.delete(name);
  }

  /** Those that were sampled longest ago, as many as one period may cost. */
  async #sampleFigures(): Promise<void> {
    const { admin, clock, onChange, figures } = this.#settings;
    const { everyMs, perSecond } = { ...defaultFigures, ...figures };
    const nowMs = clock.monotonicMs();
    const sampledAt = (name: string) => this.#sampledAtMs.get(name) ?? -Infinity;
    const due = [...this.#entries]
      .filter(([name, { seen }]) => seen !== undefined && nowMs - sampledAt(name) >= everyMs)
      .sort(([left], [right]) => sampledAt(left) - sampledAt(right))
      .slice(0, Math.ceil((perSecond * this.#lookEveryMs) / 1_000));
    if (due.length === 0) return;
    const asked = due.map(([name, { seen }]) => ({
      ...{ name, topicId: seen!.topicId },
      partitions: seen!.leaders.slice(0, reportedPartitions).map((leaderId, partition) => {
        return { partition, leaderId, leaderEpoch: -1 };
      }),
    }));
    const offsets = await admin.offsetsOf(asked);
    for (const { name, topicId, partitions } of asked) {
      this.#sampledAtMs.set(name, nowMs);
      const entry = this.#entries.get(name);
      if (entry?.seen?.topicId !== topicId) continue;
      const told = new Map((offsets.get(name) ?? []).map((one) => [one.partition, one]));
      const sampled = partitions.map(({ partition: id, leaderId: leader }) => {
        const one = told.get(id);
        return one === undefined ? { id, leader } : { id, leader, logStartOffset: one.start, logEndOffset: one.end };
      });
      if (JSON.stringify(sampled) === JSON.stringify(entry.seen.figures)) continue;
      this.#entries.set(name, { ...entry, seen: { ...entry.seen, figures: sampled } });
      onChange(name);
    }
  }

  #failed(error: Error): void {
    // The first one stays: a status that says another thing of the same trouble each time would be written each time.
    if (this.#failure !== undefined || this.#isClosed) return;
    this.#failure = error;
    this.#settings.logger.info({ err: error }, 'the topics of a cluster cannot be looked at');
    this.#refreshAfter(probeEveryMs);
    for (const name of this.#settings.watched().keys()) this.#settings.onChange(name);
  }

  #succeeded(): void {
    if (this.#failure === undefined) return;
    this.#failure = undefined;
    for (const name of this.#settings.watched().keys()) this.#settings.onChange(name);
  }
}

function isSame(left: Entry, right: Entry): boolean {
  if (left.seen === undefined || right.seen === undefined) return left.seen === right.seen;
  return (
    left.seen.topicId === right.seen.topicId &&
    left.seen.leaders.length === right.seen.leaders.length &&
    JSON.stringify([...left.seen.configs].sort()) === JSON.stringify([...right.seen.configs].sort())
  );
}

/** There is no such topic, which is what a deletion wants. */
export const isGone = (error: KafkaAdminError | undefined): boolean =>
  error === undefined || error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
