/**
 * One shard of the groups while this broker owns it, from loading to giving it up: its groups, their committed offsets, and the
 * requests that wait. Everything that must last goes through the writer in the order it was accepted; offsets are read as they are
 * stored. It belongs to one epoch of the shard's ownership, and nothing of it outlives that.
 */
import { ErrorCode, groupShards, KafkaError, type metadata } from '@kafscale/protocol';
import type { Clock, Logger } from '@kafscale/runtime';
import type { TopicId } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { refusedAnswer } from './classic/group-change.ts';
import { groupFromRecord } from './classic/group-record.ts';
import type {
  ClassicGroup,
  CommitAnswer,
  DeleteAnswer,
  GroupAnswer,
  GroupEvent,
  RequestId,
} from './classic/group-model.ts';
import { emptyGroup } from './classic-group.ts';
import type { GroupSettings } from './group-settings.ts';
import { isFenced, offsetsBytes, type GroupWriter } from './group-writer.ts';
import { LiveGroup } from './live-group.ts';
import { expiredOffsets } from './offset-expiry.ts';
import type { CommittedOffset, GroupOffsets } from './offset-store.ts';
import { ParkedRequests } from './parked-requests.ts';
import { ShardJournal } from './shard-journal.ts';
import { storedOffset, topicIdToBytes } from './shard-state.ts';

export interface GroupShardDependencies {
  readonly store: MetadataStore;
  readonly lane: Lane;
  readonly writer: GroupWriter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: GroupSettings;
  /** Undefined for a topic that is gone. */
  readonly topicName: (topicId: TopicId) => string | undefined;
  /** The lane has said that this incarnation is over. */
  readonly onFenced: () => void;
}

export interface TopicCommit {
  readonly topicId: TopicId;
  readonly offsets: ReadonlyMap<number, CommittedOffset>;
}

/** Most bytes of one commit: what a transaction of a store takes. */
const maxCommitBytes = 1024 * 1024;

export class GroupShard {
  readonly #dependencies: GroupShardDependencies;
  readonly #groups = new Map<string, LiveGroup>();
  readonly #parked: ParkedRequests;
  /** Per group, changes on their way to the store. */
  readonly #pendingWrites = new Map<string, number>();
  /** Writes and folds whose outcome is not known yet. */
  readonly #underWay = new Set<Promise<void>>();
  readonly #shard: number;
  readonly #closing = new AbortController();
  #journal: ShardJournal;
  #unavailable: ErrorCode = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS;

  /** The epoch of the ownership that all of this belongs to. */
  readonly epoch: number;

  constructor(shard: number, epoch: number, dependencies: GroupShardDependencies) {
    this.#shard = shard;
    this.epoch = epoch;
    this.#dependencies = dependencies;
    this.#journal = new ShardJournal(shard);
    this.#parked = new ParkedRequests(dependencies.settings.groupParkedRequestsMax);
  }

  /** NONE while the shard is served. */
  get unavailable(): ErrorCode {
    return this.#unavailable;
  }

  /** Aborts when the shard is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * Reads what is stored, as of the revision it answers, which is not before `revision`: the moment from which on nobody else writes
   * the shard. Throws MetadataError; may be called again then.
   */
  async load(revision: Revision): Promise<Revision> {
    this.#journal = new ShardJournal(this.#shard);
    return this.#journal.load(this.#dependencies.store, revision, this.closing);
  }

  /** Serves what was loaded, each member with a full session timeout from now. */
  open(): void {
    if (this.#unavailable !== ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return;
    this.#unavailable = ErrorCode.NONE;
    const { records, offsets } = this.#journal.state;
    for (const record of records.values()) this.#add(groupFromRecord(record)).resume();
    for (const groupId of offsets.groupIds()) {
      if (!records.has(groupId)) this.#add(emptyGroup(groupId, this.#dependencies.clock.wallMs()));
    }
  }

  get groupCount(): number {
    return this.#groups.size;
  }

  /** Answers whoever waits, and everybody from now on, with the code. */
  close(errorCode: ErrorCode): void {
    this.#unavailable = errorCode;
    this.#closing.abort(new MetadataError('aborted', 'the shard is closed'));
    for (const live of this.#groups.values()) live.close();
    this.#groups.clear();
    this.#parked.refuseAll(errorCode);
  }

  /**
   * Resolves when nothing of a closed shard is on its way to the store any more: what was accepted before it closed is stored and
   * answered, and what comes behind in the lane is behind all of it.
   */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled([...this.#underWay]);
  }

  get(groupId: string): ClassicGroup | undefined {
    return this.#groups.get(groupId)?.group;
  }

  *groups(): Iterable<ClassicGroup> {
    for (const live of this.#groups.values()) yield live.group;
  }

  /** The group's committed offsets that are known to be stored. */
  offsets(groupId: string): GroupOffsets {
    return this.#journal.state.offsets.ofGroup(groupId);
  }

  /** Gives the event to the group and waits for its answer; `refusal` is what a refused request is answered with, but for the code. */
  ask<Answer extends GroupAnswer>(
    groupId: string,
    refusal: Answer,
    event: (requestId: RequestId) => GroupEvent & { readonly type: Answer['type'] },
  ): Promise<Answer> {
    return new Promise((resolve) => this.#ask(groupId, refusal, event, resolve));
  }

  /** Makes a group of this id exist, empty at first. Throws GROUP_MAX_SIZE_REACHED when there are too many. */
  ensure(groupId: string): void {
    if (this.#groups.has(groupId)) return;
    if (this.#groups.size >= Math.ceil(this.#dependencies.settings.groupsMax / groupShards)) {
      throw new KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, 'the broker coordinates as many groups as it may');
    }
    this.#add(emptyGroup(groupId, this.#dependencies.clock.wallMs()));
  }

  /** Resolves with NONE once the offsets are stored. The group must exist. */
  commit(
    member: { readonly memberId: string; readonly groupInstanceId: string | null; readonly generation: number },
    groupId: string,
    topics: readonly TopicCommit[],
  ): Promise<ErrorCode> {
    const changes = topics.map((topic) => offsetsChange(groupId, topic));
    const bytes = topics.reduce((sum, { offsets }) => sum + offsetsBytes([...offsets.values()]), 0);
    if (bytes > maxCommitBytes) return Promise.resolve(ErrorCode.INVALID_COMMIT_OFFSET_SIZE);
    return new Promise((resolve) => {
      const refusal: CommitAnswer = { type: 'commit', errorCode: ErrorCode.NONE };
      this.#ask(
        groupId,
        refusal,
        (requestId) => ({ type: 'commit', requestId, ...member }),
        ({ errorCode }) => {
          // In the same turn as the check, so that no later generation of the group can be stored before it.
          resolve(errorCode === ErrorCode.NONE ? this.#write(groupId, changes) : errorCode);
        },
      );
    });
  }

  /** Resolves with NONE once the offsets are gone from the store. */
  removeOffsets(groupId: string, topics: readonly { topicId: TopicId; partitions: number[] }[]): Promise<ErrorCode> {
    const offsets = this.offsets(groupId);
    const changes = topics
      .filter(({ topicId }) => offsets.has(topicId) || this.#pendingWrites.has(groupId))
      .map(({ topicId, partitions }): metadata.GroupChange => {
        const value = { groupId, topicId: topicIdToBytes(topicId), partitions };
        return { change: { $case: 'removedOffsets', value } };
      });
    return changes.length === 0 ? Promise.resolve(ErrorCode.NONE) : this.#write(groupId, changes);
  }

  /** Deletes an empty group with its offsets. */
  remove(groupId: string): Promise<ErrorCode> {
    return new Promise((resolve) => {
      const refusal: DeleteAnswer = { type: 'delete', errorCode: ErrorCode.NONE };
      this.#ask(
        groupId,
        refusal,
        (requestId) => ({ type: 'delete', requestId }),
        ({ errorCode }) => {
          resolve(errorCode === ErrorCode.NONE ? this.#remove(groupId) : errorCode);
        },
      );
    });
  }

  /** Forgets a group that turned out to be nothing: no members, no offsets, nothing stored. */
  dropUnused(groupId: string): void {
    const live = this.#groups.get(groupId);
    if (live === undefined || !live.settled || !isVacant(live.group)) return;
    const { records, offsets } = this.#journal.state;
    const isStored = records.has(groupId) || offsets.ofGroup(groupId).size > 0 || this.#pendingWrites.has(groupId);
    if (isStored) return;
    live.close();
    this.#groups.delete(groupId);
  }

  /** Drops offsets that have outlived the retention, and empty groups that are left with none. */
  async expire(): Promise<void> {
    const { clock, settings, topicName } = this.#dependencies;
    const rules = { nowMs: clock.wallMs(), retentionMs: settings.offsetsRetentionMs, topicName };
    const writes: Promise<ErrorCode>[] = [];
    for (const [groupId, live] of [...this.#groups]) {
      // What is on its way to the store is newer than what would be judged here.
      if (!live.settled || this.#pendingWrites.has(groupId)) continue;
      const offsets = this.offsets(groupId);
      const expired = expiredOffsets(live.group, offsets, rules);
      const left = [...offsets.values()].reduce((sum, topic) => sum + topic.size, 0) - countPartitions(expired);
      if (left === 0 && isVacant(live.group)) writes.push(this.remove(groupId));
      else if (expired.length > 0) writes.push(this.removeOffsets(groupId, expired));
    }
    await Promise.all(writes);
  }

  /** The topics of which some group has committed offsets. */
  committedTopics(): Set<TopicId> {
    const topics = new Set<TopicId>();
    const { offsets } = this.#journal.state;
    for (const groupId of offsets.groupIds())
      for (const topicId of offsets.ofGroup(groupId).keys()) topics.add(topicId);
    return topics;
  }

  /** The topic is gone for good, and so are its offsets. */
  async removeTopic(topicId: TopicId): Promise<void> {
    const { offsets } = this.#journal.state;
    const removals: Promise<ErrorCode>[] = [];
    for (const groupId of [...offsets.groupIds()]) {
      const partitions = [...(offsets.ofGroup(groupId).get(topicId)?.keys() ?? [])];
      if (partitions.length > 0) removals.push(this.removeOffsets(groupId, [{ topicId, partitions }]));
    }
    await Promise.all(removals);
  }

  /** Folds what was stored since the last time. */
  async fold(): Promise<void> {
    if (this.#unavailable !== ErrorCode.NONE || !this.#journal.hasDeltas) return;
    try {
      await this.#track(this.#journal.fold(this.#dependencies.lane, this.closing));
    } catch (error) {
      if (error !== this.closing.reason) this.#failed('folding a shard of the groups failed', error);
    }
  }

  #add(group: ClassicGroup): LiveGroup {
    const { clock, settings } = this.#dependencies;
    const live = new LiveGroup(group, {
      clock,
      settings,
      store: (record) => this.#store(group.groupId, [{ change: { $case: 'group', value: record } }]),
      answer: (requestId, answer) => this.#parked.answer(requestId, answer),
    });
    this.#groups.set(group.groupId, live);
    return live;
  }

  #ask<Answer extends GroupAnswer>(
    groupId: string,
    refusal: Answer,
    event: (requestId: RequestId) => GroupEvent,
    answered: (answer: Answer) => void,
  ): void {
    const live = this.#groups.get(groupId);
    if (live === undefined || this.#parked.full) {
      // Too many requests wait already: the client looks for its coordinator and comes back.
      const code = live === undefined ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.COORDINATOR_NOT_AVAILABLE;
      answered(refusedAnswer(refusal, code) as Answer);
      return;
    }
    live.handle(event(this.#parked.park(refusal, answered)));
  }

  async #write(groupId: string, changes: readonly metadata.GroupChange[]): Promise<ErrorCode> {
    if (this.#unavailable !== ErrorCode.NONE) return this.#unavailable;
    try {
      await this.#store(groupId, changes);
      return ErrorCode.NONE;
    } catch (error) {
      return isFenced(error) ? ErrorCode.NOT_COORDINATOR : ErrorCode.UNKNOWN_SERVER_ERROR;
    }
  }

  async #store(groupId: string, changes: readonly metadata.GroupChange[]): Promise<void> {
    this.#pendingWrites.set(groupId, (this.#pendingWrites.get(groupId) ?? 0) + 1);
    try {
      await this.#track(this.#dependencies.writer.write(this.#journal, changes));
    } catch (error) {
      this.#failed('storing a change of a group failed', error, groupId);
      throw error;
    } finally {
      const left = (this.#pendingWrites.get(groupId) ?? 1) - 1;
      if (left === 0) this.#pendingWrites.delete(groupId);
      else this.#pendingWrites.set(groupId, left);
    }
    if (this.#journal.wantsFold) void this.fold();
  }

  #track(outcome: Promise<void>): Promise<void> {
    this.#underWay.add(outcome);
    return outcome.finally(() => this.#underWay.delete(outcome));
  }

  #failed(message: string, err: unknown, groupId?: string): void {
    if (isFenced(err)) this.#dependencies.onFenced();
    else this.#dependencies.logger.error({ err, shard: this.#shard, groupId }, message);
  }

  async #remove(groupId: string): Promise<ErrorCode> {
    const { records, offsets } = this.#journal.state;
    const stored = records.get(groupId);
    const isStored = stored !== undefined || offsets.ofGroup(groupId).size > 0 || this.#pendingWrites.has(groupId);
    const errorCode = isStored
      ? await this.#write(groupId, [{ change: { $case: 'removedGroup', value: groupId } }])
      : ErrorCode.NONE;
    this.#groups.get(groupId)?.close();
    this.#groups.delete(groupId);
    if (errorCode === ErrorCode.UNKNOWN_SERVER_ERROR && this.#unavailable === ErrorCode.NONE) {
      this.#add(
        stored === undefined ? emptyGroup(groupId, this.#dependencies.clock.wallMs()) : groupFromRecord(stored),
      );
    }
    return errorCode;
  }
}

function offsetsChange(groupId: string, { topicId, offsets }: TopicCommit): metadata.GroupChange {
  const stored = [...offsets].map(([partition, committed]) => storedOffset(partition, committed));
  return { change: { $case: 'offsets', value: { groupId, topicId: topicIdToBytes(topicId), offsets: stored } } };
}

const isVacant = ({ state, pendingMembers }: ClassicGroup) => state === 'Empty' && pendingMembers.size === 0;

const countPartitions = (topics: readonly { readonly partitions: readonly number[] }[]) =>
  topics.reduce((sum, { partitions }) => sum + partitions.length, 0);
