/**
 * For tests: several brokers that are nothing but group coordinators, each with a real session, lanes, image and ownership of shards on
 * one store in memory behind a bad network. A test says who should own what, as the cluster's controller would.
 */
import { groupShard, groupShards, groupShardsTopicId, metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { registerBroker } from '../cluster/broker-registration.ts';
import { groupShardsView } from '../cluster/ownership-view.ts';
import { Ownership } from '../cluster/ownership.ts';
import { SessionOwnershipProof } from '../log/session-ownership-proof.ts';
import { FaultyMetadataStore, type MetadataCall, type MetadataFault } from '../metadata/faulty-metadata-store.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { WatchedMetadataImage } from '../metadata/watched-metadata-image.ts';
import { fixtureSettings, topicA } from './coordinator-fixture.ts';
import { GroupCoordinator } from './group-coordinator.ts';
import { OwnedShards } from './owned-shards.ts';

const sessionSettings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };
const { callDeadlineMs } = sessionSettings;

export interface CoordinatorLife {
  readonly incarnation: string;
  readonly brokerId: number;
  readonly session: Session;
  readonly coordinator: GroupCoordinator;
  readonly ownership: Ownership;
  readonly image: WatchedMetadataImage;
  readonly store: FaultyMetadataStore;
  /** No watch tells it of anything any more. */
  isDeaf: boolean;
  /** It was not killed. */
  isAlive: boolean;
}

export class GroupCoordinators {
  readonly clock = new FakeClock();
  readonly inner = new MemoryMetadataStore({ clock: this.clock });
  /** What becomes of the calls of every broker. */
  plan: (call: MetadataCall) => MetadataFault = () => 'ok';
  readonly lives: CoordinatorLife[] = [];
  readonly #random = seededRandom(3);
  #memberIds = 0;

  /** With topic `a`, which is the one that offsets are committed for. */
  static async started(count: number): Promise<GroupCoordinators> {
    const coordinators = new GroupCoordinators();
    const record = metadata.TopicRecord.encode({
      topicId: Buffer.from(topicA, 'base64url'),
      partitionCount: 10,
      replicationFactor: 1,
      configs: new Map(),
      createdMs: 0n,
      deleting: false,
    });
    const topic = { type: 'put', key: metadataKeys.topic('a'), value: record.finish() } as const;
    await coordinators.inner.transact({ compare: [], success: [topic] });
    for (let broker = 0; broker < count; broker += 1) await coordinators.add();
    return coordinators;
  }

  /** Those that neither were killed nor ended their session to learn what became of a transaction. */
  get living(): CoordinatorLife[] {
    return this.lives.filter(({ isAlive, session }) => isAlive && session.endReason === undefined);
  }

  /** A new broker, on a network that works until it is there. */
  async add(): Promise<CoordinatorLife> {
    const { clock } = this;
    const added: { life?: CoordinatorLife } = {};
    const store = new FaultyMetadataStore(this.inner, {
      clock,
      plan: (call) => (added.life === undefined ? 'ok' : this.plan(call)),
      watchPlan: () => ({ loses: () => added.life?.isDeaf === true }),
    });
    const random = this.#random;
    const brokerId = this.lives.length;
    const incarnation = `incarnation-${brokerId}`;
    const session = await Session.open(incarnation, { store, clock, settings: sessionSettings });
    const lane = session.lane('coordinator');
    await registerBroker(
      { store, lane: session.lane('data'), clock },
      { incarnation, leaseId: session.leaseId, brokerId, endpoint: { host: 'h', port: 1, rack: '' } },
    );
    const image = await WatchedMetadataImage.open({ store, clusterId: 'c', clock, random, logger: silentLogger });
    const proof = new SessionOwnershipProof({ store, session, clock, callDeadlineMs });
    const coordinator = new GroupCoordinator({
      ...{ store, lane, image, clock, settings: fixtureSettings },
      randomId: () => `id-${(this.#memberIds += 1)}`,
      isAlive: () => session.alive,
      proveAlive: () => proof.isAlive(),
    });
    const ownership = new Ownership({
      ...{ store, lane, upkeepLane: session.lane('upkeep'), clock, random, incarnation, brokerId, callDeadlineMs },
      kind: new OwnedShards(coordinator, silentLogger),
      view: groupShardsView(image),
      logger: silentLogger,
    });
    coordinator.start();
    const parts = { incarnation, brokerId, session, coordinator, ownership, image, store };
    const life = { ...parts, isDeaf: false, isAlive: true };
    added.life = life;
    this.lives.push(life);
    void ownership.start();
    return life;
  }

  /** Says who should own the shards of these groups; the others keep their owner. */
  async assign(groupIds: readonly string[], { incarnation }: CoordinatorLife): Promise<void> {
    const key = metadataKeys.assignment(groupShardsTopicId);
    const { items } = await this.inner.range({ key });
    const owners = new Array<string>(groupShards).fill('');
    if (items[0] !== undefined) {
      const stored = metadata.AssignmentRecord.decode(items[0].value);
      for (const [shard, owner] of stored.owners.entries()) owners[shard] = stored.incarnations[owner - 1] ?? '';
    }
    for (const groupId of groupIds) owners[groupShard(groupId)] = incarnation;
    const incarnations = [...new Set(owners.filter((owner) => owner !== ''))];
    const value = metadata.AssignmentRecord.encode({
      incarnations,
      owners: owners.map((owner) => incarnations.indexOf(owner) + 1),
    }).finish();
    await this.inner.transact({ compare: [], success: [{ type: 'put', key, value }] });
  }

  /** Its lease is gone. It notices at once, or hears nothing and goes on as if nothing had happened until a call tells it. */
  async kill(life: CoordinatorLife, notices: boolean): Promise<void> {
    life.isAlive = false;
    life.isDeaf = !notices;
    if (notices) life.session.end(new Error('killed'));
    await this.inner.revokeLease(life.session.leaseId);
  }

  /** Who owns the group's shard by its record; undefined for nobody alive. */
  async ownerOf(groupId: string): Promise<CoordinatorLife | undefined> {
    const { items } = await this.inner.range({ key: metadataKeys.partition(groupShardsTopicId, groupShard(groupId)) });
    const owner = items[0] && metadata.PartitionRecord.decode(items[0].value).owner;
    return this.living.find(({ incarnation }) => incarnation === owner);
  }

  async close(): Promise<void> {
    this.plan = () => 'ok';
    for (const { ownership, coordinator, session, image } of this.lives) {
      ownership.close();
      session.end(new Error('the test is over'));
      await this.clock.runUntilSettled(Promise.all([coordinator.close(), image.close()]));
    }
  }
}
