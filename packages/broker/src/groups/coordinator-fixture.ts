/** A coordinator on a store in memory, for tests: a lane that can be held or refused, an image that is set by hand, time that is moved. */
import { groupShards, groupShardsTopicId, metadataKeys, parseTopicConfig } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import type { Lane, LaneCommit } from '../metadata/lane.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { MetadataError, type MetadataErrorKind } from '../metadata/metadata-error.ts';
import type { ImageChange, MetadataImage, PartitionImage, TopicImage } from '../metadata/metadata-image.ts';
import type { MetadataStore, Revision } from '../metadata/metadata-store.ts';
import type { ClassicGroup } from './classic/group-model.ts';
import {
  GroupCoordinator,
  type CommitCall,
  type GroupCoordinatorDependencies,
  type HeartbeatCall,
  type JoinCall,
  type SyncCall,
} from './group-coordinator.ts';
import type { GroupSettings } from './group-settings.ts';

export const fixtureSettings: GroupSettings = {
  groupInitialRebalanceDelayMs: 3_000,
  groupMinSessionTimeoutMs: 6_000,
  groupMaxSessionTimeoutMs: 1_800_000,
  groupMaxSize: 100,
  groupsMax: 1_600,
  groupMetadataMaxBytes: 1_000_000,
  groupParkedRequestsMax: 1_000,
  offsetsRetentionMs: 7 * 24 * 3_600_000,
  offsetsRetentionCheckIntervalMs: 600_000,
  offsetMetadataMaxBytes: 4_096,
};

/** One commit after the other, straight into the store. */
export class HeldLane implements Lane {
  readonly commits: LaneCommit[] = [];
  readonly #store: MetadataStore;
  #turn: Promise<unknown> = Promise.resolve();
  #released: Promise<void> = Promise.resolve();
  #release: () => void = () => undefined;
  #refusals: { kind: MetadataErrorKind; when: (commit: LaneCommit) => boolean }[] = [];
  #fenced = false;

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  /** Commits wait from now on. */
  hold(): void {
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.#release();
  }

  fence(): void {
    this.#fenced = true;
  }

  /** Refuses every commit of which `when` is true. */
  refuse(kind: MetadataErrorKind, when: (commit: LaneCommit) => boolean = () => true): void {
    this.#refusals.push({ kind, when });
  }

  accept(): void {
    this.#refusals = [];
  }

  commit(commit: LaneCommit): Promise<Revision> {
    const outcome = this.#turn.then(() => this.#apply(commit));
    this.#turn = outcome.catch(() => undefined);
    return outcome;
  }

  async #apply(commit: LaneCommit): Promise<Revision> {
    await this.#released;
    if (this.#fenced) throw new MetadataError('fenced', 'the session is over');
    const refusal = this.#refusals.find(({ when }) => when(commit));
    if (refusal !== undefined) throw new MetadataError(refusal.kind, 'refused by the test');
    this.commits.push(commit);
    return (await this.#store.transact({ compare: [], success: commit.operations })).revision;
  }
}

export class SettableImage implements MetadataImage {
  readonly clusterId = 'cluster';
  readonly revision = 1;
  readonly #topics = new Map<string, TopicImage>();
  readonly #listeners = new Set<(change: ImageChange) => void>();
  /** Resolves at once unless a test replaces it. */
  reached: (revision: Revision) => Promise<void> = () => Promise.resolve();

  setTopic(name: string, topicId: string, partitionCount = 10): void {
    const configs = new Map<string, string>();
    const config = parseTopicConfig(configs);
    const settings = { replicationFactor: 1, configs, config, modRevision: 1, deleting: false };
    this.#topics.set(name, { name, topicId, partitionCount, ...settings });
    this.#changed(topicId);
  }

  removeTopic(name: string): void {
    const topicId = this.#topics.get(name)?.topicId ?? '';
    this.#topics.delete(name);
    this.#changed(topicId);
  }

  topic(name: string): TopicImage | undefined {
    return this.#topics.get(name);
  }

  topicById(topicId: string): TopicImage | undefined {
    return [...this.#topics.values()].find((topic) => topic.topicId === topicId);
  }

  topics(): Iterable<TopicImage> {
    return this.#topics.values();
  }

  /** Of every shard of the groups; `seven` is broker 7. */
  shardOwner = 'seven';

  partition(topicId: string): PartitionImage | undefined {
    const { shardOwner: owner } = this;
    return topicId === groupShardsTopicId ? { owner, brokerId: 7, leaderEpoch: 0 } : undefined;
  }

  brokers() {
    return [{ brokerId: 7, incarnation: 'seven', host: 'broker-7', port: 9092, rack: '', draining: false }];
  }

  onChange(listener: (change: ImageChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(topicId: string): void {
    for (const listener of this.#listeners) listener({ topicIds: new Set([topicId]) });
  }
}

export const topicA = 'AAAAAAAAAAAAAAAAAAAAAQ';
export const topicB = 'AAAAAAAAAAAAAAAAAAAAAg';

export class CoordinatorFixture {
  readonly clock = new FakeClock();
  readonly store = new MemoryMetadataStore({ clock: this.clock });
  readonly image = new SettableImage();
  readonly #settings: GroupSettings;
  lane = new HeldLane(this.store);
  coordinator: GroupCoordinator;
  #lastId = 0;

  constructor(settings: Partial<GroupSettings> = {}, store?: MetadataStore) {
    this.#settings = { ...fixtureSettings, ...settings };
    this.coordinator = this.create(store);
    this.image.setTopic('a', topicA);
    this.image.setTopic('b', topicB);
  }

  /** One whose shards cannot be loaded to the end. */
  static async loading(): Promise<CoordinatorFixture> {
    const fixture = new CoordinatorFixture();
    fixture.image.reached = () => new Promise(() => undefined);
    void openAll(fixture.coordinator);
    await settled();
    return fixture;
  }

  static async started(settings: Partial<GroupSettings> = {}): Promise<CoordinatorFixture> {
    const fixture = new CoordinatorFixture(settings);
    await openAll(fixture.coordinator);
    return fixture;
  }

  create(
    store: MetadataStore = this.store,
    isAlive: () => boolean = () => true,
    hooks: Pick<GroupCoordinatorDependencies, 'proveAlive' | 'whenShardKnown' | 'onShardOpen'> = {},
  ): GroupCoordinator {
    const { clock, image, lane } = this;
    const randomId = () => `id-${(this.#lastId += 1)}`;
    const settings = this.#settings;
    return new GroupCoordinator({ store, lane, image, clock, settings, randomId, isAlive, ...hooks });
  }

  /** Another process goes on with what is stored; the former one is gone without a word. */
  async restart(): Promise<void> {
    await this.coordinator.close();
    this.lane = new HeldLane(this.store);
    this.coordinator = this.create();
    await openAll(this.coordinator);
  }

  join(given: Partial<JoinCall> = {}) {
    return this.coordinator.join({
      groupId: 'group',
      memberId: '',
      groupInstanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: subscription('a') }],
      requiresKnownMemberId: false,
      supportsSkippingAssignment: false,
      ...given,
    });
  }

  sync(given: Partial<SyncCall>) {
    return this.coordinator.sync({
      groupId: 'group',
      memberId: '',
      groupInstanceId: null,
      generation: 1,
      protocolType: null,
      protocolName: null,
      assignments: new Map(),
      ...given,
    });
  }

  heartbeat(given: Partial<HeartbeatCall>) {
    return this.coordinator.heartbeat({
      groupId: 'group',
      memberId: '',
      groupInstanceId: null,
      generation: 1,
      ...given,
    });
  }

  /** Commits `offset` for partition 0 of topic a. */
  commit(offset: bigint, given: Partial<CommitCall & { topicId: string; expireMs: number }> = {}) {
    const { topicId = topicA, expireMs, ...call } = given;
    const commitMs = this.clock.wallMs();
    const offsets = new Map([[0, { offset, leaderEpoch: 3, metadata: 'text', commitMs, expireMs }]]);
    return this.coordinator.commitOffsets({
      groupId: 'group',
      memberId: '',
      groupInstanceId: null,
      generation: -1,
      topics: [{ topicId, offsets }],
      ...call,
    });
  }

  /** What is committed for partition 0. */
  async committed(groupId = 'group', topicId = topicA): Promise<bigint | undefined> {
    return (await this.coordinator.committedOffsets(groupId)).get(topicId)?.get(0)?.offset;
  }

  /** A stable group of as many members, the first one leading. */
  async stableGroup(size: number, given: Partial<JoinCall> = {}): Promise<string[]> {
    const joins = Array.from({ length: size }, () => this.join(given));
    await this.clock.advanceAsync(6_000);
    const members = (await Promise.all(joins)).map(({ memberId }) => memberId);
    const groupId = given.groupId ?? 'group';
    const assignments = new Map(members.map((memberId, index) => [memberId, Buffer.from([index])]));
    await Promise.all(members.map((memberId) => this.sync({ groupId, memberId, assignments })));
    return members;
  }

  group(groupId = 'group'): Promise<ClassicGroup | undefined> {
    return this.coordinator.describe(groupId);
  }

  async keys(prefix: string): Promise<string[]> {
    const { items } = await this.store.range({ key: prefix, end: `${prefix}~` });
    return items.map(({ key }) => key);
  }

  async deleteTopic(name: string): Promise<void> {
    const topicId = this.image.topic(name)?.topicId ?? '';
    const tombstone = { type: 'put', key: metadataKeys.tombstone(topicId), value: Buffer.alloc(1) } as const;
    await this.store.transact({ compare: [], success: [tombstone] });
    this.image.removeTopic(name);
    await this.clock.advanceAsync(0);
    await settled();
  }
}

/** Starts the coordinator as the owner of every shard. */
export async function openAll(coordinator: GroupCoordinator, epoch = 0, revision: Revision = 0): Promise<void> {
  coordinator.start();
  await Promise.all(
    Array.from({ length: groupShards }, (_, shard) => coordinator.openShard({ shard, epoch, revision })),
  );
}

/** A consumer's subscription: version 0, the topics, no user data. */
export function subscription(...topics: string[]): Buffer {
  const names = topics.flatMap((topic) => [Buffer.from([0, topic.length]), Buffer.from(topic)]);
  return Buffer.concat([Buffer.from([0, 0, 0, 0, 0, topics.length]), ...names, Buffer.from([255, 255, 255, 255])]);
}
