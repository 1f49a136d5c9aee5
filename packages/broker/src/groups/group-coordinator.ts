/**
 * The coordinator of consumer groups: finds a group's shard, loads the shards at start, and keeps the clockwork that all of them
 * share (retention, folding, deleted topics). Until a shard is loaded it answers COORDINATOR_LOAD_IN_PROGRESS, never "no offset";
 * once its lane is fenced, NOT_COORDINATOR. For now one broker owns every shard.
 */
import { ErrorCode, groupShard, groupShards, KafkaError, metadataKeys } from '@kafscale/protocol';
import { silentLogger, type CancelTimer, type Clock, type Logger } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { BrokerImage, MetadataImage, TopicId } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
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
  /** This broker's, under which the image has its address. */
  readonly brokerId: number;
  readonly store: MetadataStore;
  /** The coordinators' lane of this incarnation. */
  readonly lane: Lane;
  readonly image: MetadataImage;
  readonly clock: Clock;
  readonly logger?: Logger;
  readonly settings: GroupSettings;
  /** A text that was never used before, for the ids of members. */
  readonly randomId: () => string;
  /** Whether this incarnation may still be counted on; asked for every answer that comes from memory. */
  readonly isAlive?: () => boolean;
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

/** Of a client id, so much is repeated in the ids of its members. */
const clientIdCharacters = 200;

export class GroupCoordinator {
  readonly #dependencies: GroupCoordinatorDependencies;
  readonly #logger: Logger;
  readonly #writer: GroupWriter;
  readonly #shards: readonly GroupShard[];
  readonly #stop = new AbortController();
  readonly #cancelTimers = new Map<string, CancelTimer>();
  #forgetImage: (() => void) | undefined;
  #sweep: 'idle' | 'running' | 'again' = 'idle';

  constructor(dependencies: GroupCoordinatorDependencies) {
    this.#dependencies = dependencies;
    this.#logger = dependencies.logger ?? silentLogger;
    const { store, lane, image, clock, settings } = dependencies;
    const writer = new GroupWriter(lane);
    this.#writer = writer;
    this.#shards = Array.from({ length: groupShards }, (_, shard) => {
      return new GroupShard(shard, {
        store,
        lane,
        writer,
        clock,
        logger: this.#logger,
        settings,
        topicName: (topicId) => image.topicById(topicId)?.name,
        onFenced: () => this.#fenced(),
      });
    });
  }

  /** Loads every shard, trying again while the store is away. Rejects when what is stored cannot be read, or on `close`. */
  async start(): Promise<void> {
    const { image } = this.#dependencies;
    const { signal } = this.#stop;
    const revisions = await Promise.all(this.#shards.map((shard) => this.#load(shard)));
    // A topic that has committed offsets must be known, or they would be answered as missing.
    await image.reached(Math.max(...revisions), signal);
    for (const shard of this.#shards) shard.open();
    this.#repeat('expire', this.#dependencies.settings.offsetsRetentionCheckIntervalMs, (shard) => shard.expire());
    this.#repeat('fold', foldIntervalMs, (shard) => shard.fold());
    this.#forgetImage = image.onChange(() => void this.#sweepDeletedTopics());
    void this.#sweepDeletedTopics();
  }

  /** Answers whoever waits with NOT_COORDINATOR; resolves when commits that were accepted before are stored and answered too. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#forgetImage?.();
    for (const cancel of this.#cancelTimers.values()) cancel();
    for (const shard of this.#shards) shard.close(ErrorCode.NOT_COORDINATOR);
    await this.#writer.settled();
  }

  /** The broker that coordinates the group; undefined while none does. */
  coordinatorOf(groupId: string): BrokerImage | undefined {
    const { brokerId, image } = this.#dependencies;
    if (this.#unavailable(this.#shard(groupId)) === ErrorCode.NOT_COORDINATOR) return undefined;
    return image.brokers().find((broker) => broker.brokerId === brokerId);
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
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    if (unavailable !== ErrorCode.NONE) return refuse(unavailable);
    if (memberId !== '' && shard.get(groupId) === undefined) return refuse(ErrorCode.UNKNOWN_MEMBER_ID);
    shard.ensure(groupId);
    const newMemberId = this.#newMemberId(call);
    const protocols = event.protocols.map(({ name, metadata }) => ({ name, metadata: Buffer.from(metadata) }));
    const answer = await shard.ask(groupId, refuse(ErrorCode.NONE), (requestId) => {
      return { type: 'join', requestId, memberId, newMemberId, ...event, protocols };
    });
    if (answer.errorCode !== ErrorCode.NONE) shard.dropUnused(groupId);
    return answer;
  }

  /** Resolves when the leader's assignment is stored, or at once with an error. The bytes are copied. */
  async sync(call: SyncCall): Promise<SyncAnswer> {
    const { groupId, ...event } = call;
    if (groupId === '') return refusedSync(ErrorCode.INVALID_GROUP_ID);
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    // While the group is loaded its members come back by JoinGroup: clients know no other answer they can go on from.
    if (unavailable === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return refusedSync(ErrorCode.REBALANCE_IN_PROGRESS);
    if (unavailable !== ErrorCode.NONE) return refusedSync(unavailable);
    if (shard.get(groupId) === undefined) return refusedSync(ErrorCode.UNKNOWN_MEMBER_ID);
    const assignments = new Map([...event.assignments].map(([memberId, bytes]) => [memberId, Buffer.from(bytes)]));
    return shard.ask(groupId, refusedSync(ErrorCode.NONE), (requestId) => {
      return { type: 'sync', requestId, ...event, assignments };
    });
  }

  async heartbeat(call: HeartbeatCall): Promise<ErrorCode> {
    const { groupId, ...event } = call;
    if (groupId === '') return ErrorCode.INVALID_GROUP_ID;
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    // Clients know no answer that means "loading" here; a loaded group gives every member a full session timeout anyway.
    if (unavailable === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return ErrorCode.NONE;
    if (unavailable !== ErrorCode.NONE) return unavailable;
    if (shard.get(groupId) === undefined) return ErrorCode.UNKNOWN_MEMBER_ID;
    const refusal = { type: 'heartbeat', errorCode: ErrorCode.NONE } as const;
    const answer = await shard.ask(groupId, refusal, (requestId) => ({ type: 'heartbeat', requestId, ...event }));
    return answer.errorCode;
  }

  async leave({ groupId, members }: LeaveCall): Promise<LeaveAnswer> {
    const refusal: LeaveAnswer = { type: 'leave', errorCode: ErrorCode.NONE, members: [] };
    if (groupId === '') return { ...refusal, errorCode: ErrorCode.INVALID_GROUP_ID };
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    if (unavailable !== ErrorCode.NONE) return { ...refusal, errorCode: unavailable };
    if (shard.get(groupId) === undefined) {
      const unknown = members.map((member) => ({ ...member, errorCode: ErrorCode.UNKNOWN_MEMBER_ID }));
      return { ...refusal, members: unknown };
    }
    return shard.ask(groupId, refusal, (requestId) => ({ type: 'leave', requestId, members }));
  }

  /**
   * Resolves with NONE once the offsets are stored. GROUP_ID_NOT_FOUND stands for a generation of a group that does not exist. An
   * empty group id is a group like any other here, as old clients have it.
   */
  async commitOffsets({ groupId, topics, ...member }: CommitCall): Promise<ErrorCode> {
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    if (unavailable !== ErrorCode.NONE) return unavailable;
    if (member.generation >= 0 && shard.get(groupId) === undefined) return ErrorCode.GROUP_ID_NOT_FOUND;
    shard.ensure(groupId);
    const errorCode = await shard.commit(member, groupId, topics);
    if (errorCode !== ErrorCode.NONE) shard.dropUnused(groupId);
    return errorCode;
  }

  /** Groups of all shards, those that only have offsets included. */
  get groupCount(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.groupCount, 0);
  }

  /** Longest text beside a committed offset, in UTF-16 code units as Kafka counts it. */
  get offsetMetadataMaxBytes(): number {
    return this.#dependencies.settings.offsetMetadataMaxBytes;
  }

  /** What the group has committed, as it is stored. Throws KafkaError while it is not known. */
  committedOffsets(groupId: string): GroupOffsets {
    return this.#served(groupId).offsets(groupId);
  }

  /** Resolves once they are gone, with an error per topic. Throws KafkaError where the group as a whole does not allow it. */
  async deleteOffsets(groupId: string, topics: readonly TopicOffsetsToDelete[]): Promise<Map<string, ErrorCode>> {
    if (groupId === '') throw new KafkaError(ErrorCode.INVALID_GROUP_ID);
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
  describe(groupId: string): ClassicGroup | undefined {
    return this.#served(groupId).get(groupId);
  }

  /** Every group. Throws KafkaError while they are not known. */
  list(): ClassicGroup[] {
    const groups: ClassicGroup[] = [];
    for (const shard of this.#shards) {
      this.#throwUnlessServed(shard);
      groups.push(...shard.groups());
    }
    return groups;
  }

  /** Resolves with NONE once the empty group is gone from the store, with its offsets. */
  async delete(groupId: string): Promise<ErrorCode> {
    const shard = this.#shard(groupId);
    const unavailable = this.#unavailable(shard);
    return unavailable === ErrorCode.NONE ? shard.remove(groupId) : unavailable;
  }

  #shard(groupId: string): GroupShard {
    const shard = this.#shards[groupShard(groupId)];
    if (shard === undefined) throw new RangeError('a group hashes to no shard');
    return shard;
  }

  #served(groupId: string): GroupShard {
    const shard = this.#shard(groupId);
    this.#throwUnlessServed(shard);
    return shard;
  }

  #throwUnlessServed(shard: GroupShard): void {
    const unavailable = this.#unavailable(shard);
    if (unavailable !== ErrorCode.NONE) throw new KafkaError(unavailable);
  }

  #unavailable(shard: GroupShard): ErrorCode {
    return this.#dependencies.isAlive?.() === false ? ErrorCode.NOT_COORDINATOR : shard.unavailable;
  }

  #newMemberId({ groupInstanceId, clientId }: JoinCall): string {
    return `${(groupInstanceId ?? clientId).slice(0, clientIdCharacters)}-${this.#dependencies.randomId()}`;
  }

  async #load(shard: GroupShard): Promise<Revision> {
    const { clock } = this.#dependencies;
    for (;;) {
      try {
        return await shard.load(this.#stop.signal);
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (!(error instanceof MetadataError) || error.kind === 'corrupt') throw error;
        this.#logger.warn({ err: error }, 'loading groups failed, trying again');
      }
      await clock.sleep(loadRetryMs, this.#stop.signal);
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
      void Promise.all(this.#shards.map(run)).finally(() => this.#repeat(name, intervalMs, run));
    });
    this.#cancelTimers.set(name, cancel);
  }

  /** A topic that is missing from the image may only be one that it does not know yet; its tombstone is the proof. */
  async #sweepDeletedTopics(): Promise<void> {
    const running = this.#sweep !== 'idle';
    this.#sweep = running ? 'again' : 'running';
    if (running) return;
    do {
      this.#sweep = 'running';
      for (const shard of this.#shards) await this.#sweepShard(shard);
    } while (this.#sweepIsDue());
    this.#sweep = 'idle';
  }

  #sweepIsDue = (): boolean => this.#sweep === 'again' && !this.#stop.signal.aborted;

  async #sweepShard(shard: GroupShard): Promise<void> {
    const { image } = this.#dependencies;
    try {
      for (const topicId of shard.committedTopics()) {
        if (image.topicById(topicId) === undefined) await this.#removeDeleted(shard, topicId);
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#logger.warn({ err: error }, 'looking for deleted topics failed');
    }
  }

  async #removeDeleted(shard: GroupShard, topicId: TopicId): Promise<void> {
    const tombstone = await this.#dependencies.store.range({ key: metadataKeys.tombstone(topicId) }, this.#stop.signal);
    if (tombstone.items.length > 0) await shard.removeTopic(topicId);
  }
}
