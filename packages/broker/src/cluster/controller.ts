/**
 * The one broker that decides who should own what. Any broker may be it: whoever finds that the controller's session is gone takes its
 * place, by a compare that lets one succeed. It looks at how things are and writes the assignments that differ from the plan; the
 * brokers do the rest by themselves (ownership.ts). Losing it costs nothing but time.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { withDeadline, type CancelTimer, type Clock, type Logger, type Random } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { BrokerImage, ClusterImage, TopicId, TopicImage } from '../metadata/metadata-image.ts';
import {
  prefixEnd,
  type Compare,
  type MetadataStore,
  type Operation,
  type Revision,
} from '../metadata/metadata-store.ts';
import { planAssignments, type TopicToAssign } from './assignment.ts';
import { History, historyLookMs } from './history.ts';
import { groupShardsTopic, type OwnedTopic } from './owned-kind.ts';
import { Rounds } from './rounds.ts';
import { absent, unchanged } from './topic-operations.ts';

export interface ControllerSettings {
  /** How long the brokers have to have been the same before partitions are moved only to even them out. */
  readonly rebalanceDelayMs: number;
  /** How many partitions may be on their way from one living owner to another for that reason. */
  readonly maxMoves: number;
  /** As of History. */
  readonly historyMs: number;
}

export interface ControllerDependencies {
  readonly store: MetadataStore;
  /** That of upkeep. */
  readonly lane: Lane;
  readonly image: ClusterImage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly incarnation: string;
  /** How long one read of the store may take. */
  readonly callDeadlineMs: number;
  readonly settings: ControllerSettings;
  readonly observer?: ControllerObserver;
  /** Frees the name of a topic whose partitions nobody owns any more, in case the broker that began to delete it is gone. */
  readonly finishDeletion?: (topic: TopicImage) => Promise<void>;
}

/** Told what the controller does. */
export interface ControllerObserver {
  elected(): void;
  /** So many topics' assignments were stored. */
  assigned(topics: number): void;
  failed(): void;
}

const assignmentsPerTransaction = 50;
const bytesPerTransaction = 512 * 1024;
const assignmentsPerRead = 500;
/** Plans are not made more often than this. */
const planSpacingMs = 50;
/** When to look again for whether a session that is no broker's has ended. */
const lookAgainMs = 1_000;
/** How often deletions are looked after. */
const deletionsEveryMs = 5_000;

export class Controller {
  readonly #dependencies: ControllerDependencies;
  readonly #rounds: Rounds;
  /** The mod revision of the controller's key while it names us. */
  #electedAt: Revision | undefined;
  /** What we read or wrote; the image may lag behind it. */
  readonly #assigned = new Map<TopicId, readonly string[]>();
  #brokersKey = '';
  #brokersSinceMs = -Infinity;
  readonly #timers = new Map<string, CancelTimer>();
  #stopListening: (() => void) | undefined;

  constructor(dependencies: ControllerDependencies) {
    this.#dependencies = dependencies;
    const { clock, random, logger } = dependencies;
    this.#rounds = new Rounds({
      clock,
      random,
      round: () => this.#round(),
      isOver: (error) => {
        if (error instanceof MetadataError && error.kind === 'fenced') return true;
        if (error instanceof MetadataError && error.kind === 'conflict') logger.debug({ err: error }, 'planning again');
        else {
          dependencies.observer?.failed();
          logger.warn({ err: error }, 'the controller could not do its work; trying again');
        }
        return false;
      },
      spacingMs: planSpacingMs,
    });
  }

  get isController(): boolean {
    return this.#electedAt !== undefined;
  }

  /** Resolves when there is a controller, and everything is assigned if we are it. */
  async start(): Promise<void> {
    this.#stopListening = this.#dependencies.image.onChange(() => this.#rounds.wake());
    const { historyMs } = this.#dependencies.settings;
    const history = new History({ ...this.#dependencies, historyMs });
    this.#repeat('history', Math.min(historyLookMs, historyMs), () => history.look());
    this.#repeat('deletions', deletionsEveryMs, () => this.#finishDeletions());
    await this.#rounds.complete();
  }

  close(): void {
    this.#stopListening?.();
    for (const cancel of this.#timers.values()) cancel();
    this.#rounds.close();
  }

  async #round(): Promise<void> {
    const { image, incarnation } = this.#dependencies;
    if (this.#electedAt === undefined) {
      const { controller } = image;
      if (controller !== undefined && controller !== incarnation && image.brokerOf(controller) !== undefined) return;
      if (!(await this.#elect())) {
        this.#wakeIn(lookAgainMs);
        return;
      }
    }
    await this.#assign();
  }

  /** False while another controller lives. */
  async #elect(): Promise<boolean> {
    const { store, clock, lane, incarnation, callDeadlineMs, logger } = this.#dependencies;
    const key = metadataKeys.controller;
    const { sessions } = metadataPrefixes;
    const { ranges } = await withDeadline(clock, callDeadlineMs, (signal) => {
      const success = [
        { type: 'range', key } as const,
        { type: 'range', key: sessions, end: prefixEnd(sessions) } as const,
      ];
      return store.transact({ compare: [], success }, signal);
    });
    const stored = ranges[0]!.items[0];
    const previous = stored && metadata.ControllerRecord.decode(stored.value);
    // The key is never deleted, so that nobody has written it is a fact that cannot become true again.
    const compare: Compare[] = [unchanged(key, stored?.modRevision ?? 0)];
    if (previous !== undefined && previous.incarnation !== incarnation) {
      const session = metadataKeys.session(previous.incarnation);
      if (ranges[1]!.items.some((item) => item.key === session)) return false;
      compare.push(absent(session));
    }
    const epoch = (previous?.epoch ?? 0n) + 1n;
    const value = metadata.ControllerRecord.encode({ incarnation, epoch }).finish();
    const electedAt = await lane.commit({ compare, operations: [{ type: 'put', key, value }] });
    await this.#readAssignments();
    this.#electedAt = electedAt;
    this.#dependencies.observer?.elected();
    logger.info({ epoch: Number(epoch) }, 'this broker is the controller');
    return true;
  }

  /** What earlier controllers decided; none of them can write any more. */
  async #readAssignments(): Promise<void> {
    const { store, clock, callDeadlineMs } = this.#dependencies;
    const prefix = metadataPrefixes.assignments;
    const end = prefixEnd(prefix);
    this.#assigned.clear();
    for (let key: string = prefix; ;) {
      const { items, more } = await withDeadline(clock, callDeadlineMs, (signal) =>
        store.range({ key, end, limit: assignmentsPerRead }, signal),
      );
      for (const { key: itemKey, value } of items) {
        const { incarnations, owners } = metadata.AssignmentRecord.decode(value);
        const names = owners.map((index) => incarnations[index - 1] ?? '');
        this.#assigned.set(itemKey.slice(prefix.length), names);
      }
      const last = items.at(-1);
      if (!more || last === undefined) return;
      key = `${last.key}\0`;
    }
  }

  async #assign(): Promise<void> {
    const { image } = this.#dependencies;
    const brokers = image.brokers().filter(({ draining }) => !draining);
    const mayMoveInMs = this.#mayMoveInMs(brokers);
    const topics = new Map<TopicId, OwnedTopic>();
    for (const topic of [groupShardsTopic, ...image.topics()]) topics.set(topic.topicId, topic);
    for (const topicId of this.#assigned.keys()) if (!topics.has(topicId)) this.#assigned.delete(topicId);
    const toAssign: TopicToAssign[] = [];
    let underWay = 0;
    for (const topic of topics.values()) {
      const partitions = this.#partitionsOf(topic);
      underWay += partitions.filter(({ assigned, owner }) => {
        return assigned !== owner && owner !== '' && image.brokerOf(owner) !== undefined;
      }).length;
      toAssign.push({ topicId: topic.topicId, partitions });
    }
    const maxMoves = mayMoveInMs > 0 ? 0 : Math.max(0, this.#dependencies.settings.maxMoves - underWay);
    const plan = planAssignments(toAssign, brokers, { maxMoves });
    await this.#store(plan, topics);
    if (mayMoveInMs > 0) this.#wakeIn(mayMoveInMs);
  }

  /** A broker that just came may be followed by others, or by the one that left: nothing moves to and fro for it. A cordon counts. */
  #mayMoveInMs(brokers: readonly BrokerImage[]): number {
    const { clock, settings } = this.#dependencies;
    const key = brokers.map(({ incarnation, cordoned = false }) => `${incarnation} ${String(cordoned)}`).join();
    if (key !== this.#brokersKey) [this.#brokersKey, this.#brokersSinceMs] = [key, clock.monotonicMs()];
    return this.#brokersSinceMs + settings.rebalanceDelayMs - clock.monotonicMs();
  }

  #partitionsOf({ topicId, partitionCount }: OwnedTopic): TopicToAssign['partitions'] {
    const { image } = this.#dependencies;
    const owners = this.#assigned.get(topicId) ?? [];
    return Array.from({ length: partitionCount }, (_, partition) => {
      return { assigned: owners[partition] ?? '', owner: image.partition(topicId, partition)?.owner ?? '' };
    });
  }

  /** Each transaction compares that we are the controller and that the topics exist, so that none is assigned after its deletion. */
  async #store(plan: ReadonlyMap<TopicId, readonly string[]>, topics: ReadonlyMap<TopicId, OwnedTopic>): Promise<void> {
    const entries = [...plan].map(([topicId, owners]) => ({ topicId, owners, value: encodeAssignment(owners) }));
    for (let from = 0; from < entries.length;) {
      let [to, bytes] = [from, 0];
      while (
        to < entries.length &&
        to - from < assignmentsPerTransaction &&
        (to === from || bytes < bytesPerTransaction)
      ) {
        bytes += entries[to]!.value.length;
        to += 1;
      }
      const group = entries.slice(from, to);
      const compare = [unchanged(metadataKeys.controller, this.#electedAt!)];
      for (const { topicId } of group) {
        const { name, modRevision } = topics.get(topicId)!;
        if (modRevision !== undefined) compare.push(unchanged(metadataKeys.topic(name), modRevision));
      }
      const operations = group.map(({ topicId, value }): Operation => {
        return { type: 'put', key: metadataKeys.assignment(topicId), value };
      });
      await this.#dependencies.lane.commit({ compare, operations });
      for (const { topicId, owners } of group) this.#assigned.set(topicId, owners);
      this.#dependencies.observer?.assigned(group.length);
      from = to;
    }
  }

  #wakeIn(delayMs: number): void {
    this.#timers.get('settle')?.();
    this.#timers.set(
      'settle',
      this.#dependencies.clock.schedule(delayMs, () => this.#rounds.wake()),
    );
  }

  #repeat(name: string, everyMs: number, work: () => Promise<void>): void {
    const { clock, logger } = this.#dependencies;
    const run = async () => {
      try {
        if (this.isController) await work();
      } catch (error) {
        logger.warn({ err: error, work: name }, 'a duty of the controller failed; it comes round again');
      }
      if (!this.#rounds.signal.aborted) this.#repeat(name, everyMs, work);
    };
    this.#timers.set(
      name,
      clock.schedule(everyMs, () => void run()),
    );
  }

  async #finishDeletions(): Promise<void> {
    const { image, finishDeletion, logger } = this.#dependencies;
    if (finishDeletion === undefined) return;
    for (const topic of image.deletingTopics()) {
      await finishDeletion(topic).catch((error: unknown) => {
        logger.debug({ err: error, topic: topic.name }, 'the deletion of a topic is not complete yet');
      });
    }
  }
}

function encodeAssignment(owners: readonly string[]): Uint8Array {
  const incarnations = [...new Set(owners)].filter((owner) => owner !== '');
  const indexes = new Map(incarnations.map((incarnation, index) => [incarnation, index + 1]));
  const record = { incarnations, owners: owners.map((owner) => indexes.get(owner) ?? 0) };
  return metadata.AssignmentRecord.encode(record).finish();
}
