/**
 * The coordinator of consumer groups: finds a group's shard, opens and gives up shards as their ownership says, and keeps the
 * clockwork that all of them share (retention, folding, deleted topics). While a shard is loaded it answers
 * COORDINATOR_LOAD_IN_PROGRESS, never "no offset"; for one that is not this broker's, or once the session is over, NOT_COORDINATOR.
 */
import { ErrorCode, groupShard, groupShardsTopicId, KafkaError, metadataKeys } from '@kafscale/protocol';
import { silentLogger, withDeadline, type CancelTimer, type Clock, type Logger } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { BrokerImage, ClusterImage, ImageChange, TopicId } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
import { livingOwner } from '../metadata/living-owner.ts';
import { refusedJoin, refusedSync } from './classic/group-change.ts';
import type {
  ClassicGroup,
  HeartbeatEvent,
  JoinAnswer,
  JoinEvent,
  LeaveAnswer,
  MemberIdentity,
  SyncAnswer,
  SyncEvent,
} from './classic/group-model.ts';
import type { GroupSettings } from './group-settings.ts';
import { GroupShard, type TopicCommit } from './group-shard.ts';
import { GroupWriter } from './group-writer.ts';
import type { GroupOffsets } from './offset-store.ts';
import { isConsumerGroup, isSubscribed } from './subscription.ts';

export interface GroupCoordinatorDependencies {
  readonly store: MetadataStore;
  /** The coordinators' lane of this incarnation. */
  readonly lane: Lane;
  readonly image: Pick<ClusterImage, 'partition' | 'brokers' | 'topicById' | 'reached' | 'onChange'>;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly settings: GroupSettings;
  /** A text that was never used before, for the ids of members. */
  readonly randomId: () => string;
  /** Whether this incarnation may still be counted on; asked for every answer that comes from memory. */
  readonly isAlive?: () => boolean;
  /**
   * Resolves with whether a linearizable read that began after the call found this incarnation's session. Asked where an answer from
   * memory would mislead if another broker had gone on with the shard.
   */
  readonly proveAlive?: () => Promise<boolean>;
  /**
   * Asked about a shard that is not served here: resolves once it is, once another broker is known to own it, or after a moment.
   * Without it nobody waits.
   */
  readonly whenShardKnown?: (shard: number) => Promise<unknown>;
  /** The shard is served from now on. */
  readonly onShardOpen?: (shard: number) => void;
}

/** A shard that this broker came to own. */
export interface ShardToOpen {
  readonly shard: number;
  /** The leader epoch of its ownership. */
  readonly epoch: number;
  /** Of the transaction that made it ours: from here on nobody else writes the shard. */
  readonly revision: Revision;
}

export type JoinCall = Omit<JoinEvent, 'type' | 'requestId' | 'newMemberId'> & { readonly groupId: string };
export type SyncCall = Omit<SyncEvent, 'type' | 'requestId'> & { readonly groupId: string };
export type HeartbeatCall = Omit<HeartbeatEvent, 'type' | 'requestId'> & { readonly groupId: string };

export interface LeaveCall {
  readonly groupId: string;
  readonly members: readonly MemberIdentity[];
}

export interface CommitCall {
  readonly groupId: string;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  /** -1 for a commit from outside the group. */
  readonly generation: number;
  readonly topics: readonly TopicCommit[];
}

export interface TopicOffsetsToDelete {
  readonly name: string;
  readonly topicId: TopicId;
  readonly partitions: number[];
}

const foldIntervalMs = 30_000;
const loadRetryMs = 500;
const catchUpDeadlineMs = 2_000;

const itself = (errorCode: ErrorCode) => errorCode;

/** Of a client id, so much is repeated in the ids of its members. */
const clientIdCharacters = 200;

export class GroupCoordinator {
  readonly #dependencies: GroupCoordinatorDependencies;
  readonly #logger: Logger;
  readonly #writer: GroupWriter;
  readonly #shards = new Map<number, GroupShard>();
  readonly #stop = new AbortController();
  readonly #cancelTimers = new Map<string, CancelTimer>();
  #forgetImage: (() => void) | undefined;
  #sweep: 'idle' | 'running' | 'again' = 'idle';

  constructor(dependencies: GroupCoordinatorDependencies) {
    this.#dependencies = dependencies;
    this.#logger = dependencies.logger ?? silentLogger;
    this.#writer = new GroupWriter(dependencies.lane);
  }

  /** Begins the upkeep of the shards that are opened from now on. */
  start(): void {
    const { image, settings } = this.#dependencies;
    this.#repeat('expire', settings.offsetsRetentionCheckIntervalMs, (shard) => shard.expire());
    this.#repeat('fold', foldIntervalMs, (shard) => shard.fold());
    this.#forgetImage = image.onChange((change) => this.#imageChanged(change));
  }

  /**
   * Loads the shard and serves it, trying again while the store is away; resolves when it is served, or given up before that. What
   * an earlier epoch left here is dropped. Rejects with MetadataError when what is stored cannot be read: the shard then stays
   * loading.
   */
  async openShard({ shard, epoch, revision }: ShardToOpen): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#shards.get(shard)?.close(ErrorCode.NOT_COORDINATOR);
    const opening = this.#newShard(shard, epoch);
    this.#shards.set(shard, opening);
    try {
      const loadedAt = await this.#load(opening, revision);
      // A topic that has committed offsets must be known, or they would be answered as missing.
      await this.#dependencies.image.reached(loadedAt, opening.closing);
    } catch (error) {
      if (opening.closing.aborted) return;
      throw error;
    }
    opening.open();
    this.#dependencies.onShardOpen?.(shard);
    await this.#sweepShard(opening);
  }

  /**
   * Serves the shard no more: whoever waits is answered NOT_COORDINATOR. Resolves when commits that were accepted before are stored
   * and answered, and nothing of the shard is on its way to the store any more: the shard may be handed over behind it in the lane.
   */
  async giveUpShard(shard: number): Promise<void> {
    const open = this.#shards.get(shard);
    if (open === undefined) return;
    this.#shards.delete(shard);
    open.close(ErrorCode.NOT_COORDINATOR);
    await open.settled();
  }

  /** Gives up every shard. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#forgetImage?.();
    for (const cancel of this.#cancelTimers.values()) cancel();
    await Promise.all([...this.#shards.keys()].map((shard) => this.giveUpShard(shard)));
  }

  /** The living broker that coordinates the group, as far as the image knows; undefined while none does. */
  coordinatorOf(groupId: string): BrokerImage | undefined {
    const { image } = this.#dependencies;
    const state = image.partition(groupShardsTopicId, groupShard(groupId));
    return state === undefined ? undefined : livingOwner(image, state);
  }

  /** Waits a moment for a group whose shard is being opened here, so that clients need not come back. */
  async ready(groupId: string): Promise<void> {
    const shard = groupShard(groupId);
    if (this.#isOver) return;
    if (this.#unavailable(shard) !== ErrorCode.NONE) await this.#dependencies.whenShardKnown?.(shard);
  }

  /**
   * Resolves when the image has everything that is stored now: a topic that another broker has just created must not be told to be
   * missing, which ends some consumers. Throws KafkaError COORDINATOR_LOAD_IN_PROGRESS when that takes too long.
   */
  async catchUp(): Promise<void> {
    const { store, image, clock } = this.#dependencies;
    try {
      await withDeadline(clock, catchUpDeadlineMs, async (signal) => {
        const { revision } = await store.range({ key: metadataKeys.cluster }, signal);
        await image.reached(revision, signal);
      });
    } catch (cause) {
      throw new KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'the metadata store does not answer', { cause });
    }
  }

  /** Resolves when the rebalance ends in which the member takes part, or at once with an error. The bytes are copied. */
  async join(call: JoinCall): Promise<JoinAnswer> {
    const { groupId, memberId, ...event } = call;
    const refuse = (errorCode: ErrorCode) => refusedJoin(errorCode, memberId);
    if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
    const { groupMinSessionTimeoutMs, groupMaxSessionTimeoutMs } = this.#dependencies.settings;
    if (call.sessionTimeoutMs < groupMinSessionTimeoutMs || call.sessionTimeoutMs > groupMaxSessionTimeoutMs) {
      return refuse(ErrorCode.INVALID_SESSION_TIMEOUT);
    }
    return this.#inShard(groupId, refuse, async (shard) => {
      if (memberId !== '' && shard.get(groupId) === undefined) return refuse(ErrorCode.UNKNOWN_MEMBER_ID);
      shard.ensure(groupId);
      const newMemberId = this.#newMemberId(call);
      const protocols = event.protocols.map(({ name, metadata }) => ({ name, metadata: Buffer.from(metadata) }));
      const answer = await shard.ask(groupId, refuse(ErrorCode.NONE), (requestId) => {
        return { type: 'join', requestId, memberId, newMemberId, ...event, protocols };
      });
      if (answer.errorCode !== ErrorCode.NONE) shard.dropUnused(groupId);
      return answer;
    });
  }

  /** Resolves when the leader's assignment is stored, or at once with an error. The bytes are copied. */
  async sync(call: SyncCall): Promise<SyncAnswer> {
    const { groupId, ...event } = call;
    if (groupId === '') return refusedSync(ErrorCode.INVALID_GROUP_ID);
    // While the group is loaded its members come back by JoinGroup: clients know no other answer they can go on from.
    const refuse = (code: ErrorCode) =>
      refusedSync(code === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ? ErrorCode.REBALANCE_IN_PROGRESS : code);
    return this.#inShard(groupId, refuse, async (shard) => {
      if (shard.get(groupId) === undefined) return refusedSync(ErrorCode.UNKNOWN_MEMBER_ID);
      const assignments = new Map([...event.assignments].map(([memberId, bytes]) => [memberId, Buffer.from(bytes)]));
      return shard.ask(groupId, refusedSync(ErrorCode.NONE), (requestId) => {
        return { type: 'sync', requestId, ...event, assignments };
      });
    });
  }

  async heartbeat(call: HeartbeatCall): Promise<ErrorCode> {
    const { groupId, ...event } = call;
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID;
    // Clients know no answer that means "loading" here; a loaded group gives every member a full session timeout anyway.
    const refuse = (code: ErrorCode) => (code === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS ? ErrorCode.NONE : code);
    return this.#inShard(groupId, refuse, async (shard) => {
      if (shard.get(groupId) === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
      const refusal = { type: 'heartbeat', errorCode: ErrorCode.NONE } as const;
      const answer = await shard.ask(groupId, refusal, (requestId) => ({ type: 'heartbeat', requestId, ...event }));
      return answer.errorCode;
    });
  }

  async leave({ groupId, members }: LeaveCall): Promise<LeaveAnswer> {
    const refuse = (errorCode: ErrorCode): LeaveAnswer => ({ type: 'leave', errorCode, members: [] });
    if (groupId === '') return refuse(ErrorCode.INVALID_GROUP_ID);
    return this.#inShard(groupId, refuse, async (shard) => {
      if (shard.get(groupId) === undefined) {
        const unknown = members.map((member) => ({ ...member, errorCode: ErrorCode.UNKNOWN_MEMBER_ID }));
        return { ...refuse(ErrorCode.NONE), members: unknown };
      }
      return shard.ask(groupId, refuse(ErrorCode.NONE), (requestId) => ({ type: 'leave', requestId, members }));
    });
  }

  /**
   * Resolves with NONE once the offsets are stored. GROUP_ID_NOT_FOUND stands for a generation of a group that does not exist. An
   * empty group id is a group like any other here, as old clients have it.
   */
  commitOffsets({ groupId, topics, ...member }: CommitCall): Promise<ErrorCode> {
    return this.#inShard(groupId, itself, async (shard) => {
      if (member.generation >= 0 && shard.get(groupId) === undefined) return ErrorCode.GROUP_ID_NOT_FOUND;
      shard.ensure(groupId);
      const errorCode = await shard.commit(member, groupId, topics);
      if (errorCode !== ErrorCode.NONE) shard.dropUnused(groupId);
      return errorCode;
    });
  }

  /** Groups of this broker's shards, those that only have offsets included. */
  get groupCount(): number {
    let count = 0;
    for (const shard of this.#shards.values()) count += shard.groupCount;
    return count;
  }

  /** Longest text beside a committed offset, in UTF-16 code units as Kafka counts it. */
  get offsetMetadataMaxBytes(): number {
    return this.#dependencies.settings.offsetMetadataMaxBytes;
  }

  /**
   * What the group has committed, true of a moment after the call: a commit that another broker has stored meanwhile is never missing.
   * Throws KafkaError while it is not known.
   */
  async committedOffsets(groupId: string): Promise<GroupOffsets> {
    await this.ready(groupId);
    this.#served(groupId);
    await this.#proveOwnership();
    return this.#served(groupId).offsets(groupId);
  }

  /** Resolves once they are gone, with an error per topic. Throws KafkaError where the group as a whole does not allow it. */
  async deleteOffsets(groupId: string, topics: readonly TopicOffsetsToDelete[]): Promise<Map<string, ErrorCode>> {
    if (groupId === '') throw new KafkaError(ErrorCode.INVALID_GROUP_ID);
    await this.ready(groupId);
    const shard = this.#served(groupId);
    const group = shard.get(groupId);
    if (group === undefined || group.state === 'Dead') throw new KafkaError(ErrorCode.GROUP_ID_NOT_FOUND);
    if (group.state !== 'Empty' && !isConsumerGroup(group)) throw new KafkaError(ErrorCode.NON_EMPTY_GROUP);
    const isFree = ({ name }: TopicOffsetsToDelete) => !isSubscribed(group, name);
    const errorCode = await shard.removeOffsets(groupId, topics.filter(isFree));
    return new Map(
      topics.map((topic) => [topic.name, isFree(topic) ? errorCode : ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC]),
    );
  }

  /** The group, or undefined when there is none. Throws KafkaError while that is not known. */
  async describe(groupId: string): Promise<ClassicGroup | undefined> {
    await this.ready(groupId);
    return this.#served(groupId).get(groupId);
  }

  /** Every group of this broker's shards. Throws KafkaError while they are not known: the one asked comes back, or asks the others. */
  list(): ClassicGroup[] {
    if (this.#isOver) throw new KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE);
    const groups: ClassicGroup[] = [];
    for (const shard of this.#shards.values()) {
      if (shard.unavailable !== ErrorCode.NONE) throw new KafkaError(shard.unavailable);
      groups.push(...shard.groups());
    }
    return groups;
  }

  /** Resolves with NONE once the empty group is gone from the store, with its offsets. */
  delete(groupId: string): Promise<ErrorCode> {
    return this.#inShard(groupId, itself, (shard) => shard.remove(groupId));
  }

  /** Works in the group's shard, at once if it is served here; else it waits a moment, and answers with the refusal if it must. */
  async #inShard<Answer>(
    groupId: string,
    refuse: (errorCode: ErrorCode) => Answer,
    work: (shard: GroupShard) => Promise<Answer>,
  ): Promise<Answer> {
    const number = groupShard(groupId);
    if (this.#unavailable(number) !== ErrorCode.NONE) await this.ready(groupId);
    const unavailable = this.#unavailable(number);
    return unavailable === ErrorCode.NONE ? work(this.#shards.get(number)!) : refuse(unavailable);
  }

  #served(groupId: string): GroupShard {
    const shard = groupShard(groupId);
    const unavailable = this.#unavailable(shard);
    if (unavailable !== ErrorCode.NONE) throw new KafkaError(unavailable);
    return this.#shards.get(shard)!;
  }

  #unavailable(shard: number): ErrorCode {
    if (this.#isOver) return ErrorCode.NOT_COORDINATOR;
    return this.#shards.get(shard)?.unavailable ?? ErrorCode.NOT_COORDINATOR;
  }

  get #isOver(): boolean {
    return this.#dependencies.isAlive?.() === false;
  }

  async #proveOwnership(): Promise<void> {
    let living: boolean | undefined;
    try {
      living = await this.#dependencies.proveAlive?.();
    } catch (cause) {
      // What every client takes for a reason to ask again in a moment.
      throw new KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, 'the metadata store does not answer', { cause });
    }
    if (living === false) throw new KafkaError(ErrorCode.NOT_COORDINATOR);
  }

  #newMemberId({ groupInstanceId, clientId }: JoinCall): string {
    return `${(groupInstanceId ?? clientId).slice(0, clientIdCharacters)}-${this.#dependencies.randomId()}`;
  }

  #newShard(shard: number, epoch: number): GroupShard {
    const { store, lane, clock, settings, image } = this.#dependencies;
    return new GroupShard(shard, epoch, {
      store,
      lane,
      writer: this.#writer,
      clock,
      logger: this.#logger,
      settings,
      topicName: (topicId) => image.topicById(topicId)?.name,
      onFenced: () => this.#fenced(),
    });
  }

  async #load(shard: GroupShard, notBefore: Revision): Promise<Revision> {
    const { clock } = this.#dependencies;
    for (;;) {
      try {
        return await shard.load(notBefore);
      } catch (error) {
        shard.closing.throwIfAborted();
        if (!(error instanceof MetadataError) || error.kind === 'corrupt') throw error;
        this.#logger.warn({ err: error }, 'loading groups failed, trying again');
      }
      await clock.sleep(loadRetryMs, shard.closing);
    }
  }

  #fenced(): void {
    if (this.#stop.signal.aborted) return;
    this.#logger.warn('the coordinator lost its session');
    void this.close();
  }

  #repeat(name: string, intervalMs: number, run: (shard: GroupShard) => Promise<void>): void {
    if (this.#stop.signal.aborted) return;
    const cancel = this.#dependencies.clock.schedule(intervalMs, () => {
      void Promise.all(Array.from(this.#shards.values(), run)).finally(() => this.#repeat(name, intervalMs, run));
    });
    this.#cancelTimers.set(name, cancel);
  }

  #imageChanged({ topicIds }: ImageChange): void {
    const { image } = this.#dependencies;
    const mayBeGone = topicIds === undefined || [...topicIds].some((topicId) => image.topicById(topicId) === undefined);
    if (mayBeGone) void this.#sweepDeletedTopics();
  }

  /** A topic that is missing from the image may only be one that it does not know yet; its tombstone is the proof. */
  async #sweepDeletedTopics(): Promise<void> {
    const running = this.#sweep !== 'idle';
    this.#sweep = running ? 'again' : 'running';
    if (running) return;
    do {
      this.#sweep = 'running';
      for (const shard of [...this.#shards.values()]) await this.#sweepShard(shard);
    } while (this.#sweepIsDue());
    this.#sweep = 'idle';
  }

  #sweepIsDue = (): boolean => this.#sweep === 'again' && !this.#stop.signal.aborted;

  async #sweepShard(shard: GroupShard): Promise<void> {
    const { image } = this.#dependencies;
    try {
      if (shard.unavailable !== ErrorCode.NONE) return;
      for (const topicId of shard.committedTopics()) {
        if (image.topicById(topicId) === undefined) await this.#removeDeleted(shard, topicId);
      }
    } catch (error) {
      if (!shard.closing.aborted) this.#logger.warn({ err: error }, 'looking for deleted topics failed');
    }
  }

  async #removeDeleted(shard: GroupShard, topicId: TopicId): Promise<void> {
    const tombstone = await this.#dependencies.store.range({ key: metadataKeys.tombstone(topicId) }, shard.closing);
    if (tombstone.items.length > 0) await shard.removeTopic(topicId);
  }
}
