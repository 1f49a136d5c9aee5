/**
 * For tests of the controller and of ownership together: brokers without a log and without clients, each with a real session, image,
 * controller and ownership on one store in memory, in time that a test moves.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { prefixEnd, type MetadataStore } from '../metadata/metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { WatchedMetadataImage } from '../metadata/watched-metadata-image.ts';
import { createMetrics, type BrokerMetrics } from '../metrics/metrics.ts';
import { controllerMetrics, ownershipMetrics } from '../metrics/ownership-metrics.ts';
import { registerBroker, storeStanding } from './broker-registration.ts';
import { BrokerStanding, inService } from './broker-standing.ts';
import { Controller, type ControllerSettings } from './controller.ts';
import { drain, type DrainOutcome } from './drain.ts';
import { groupShardsView, partitionsView } from './ownership-view.ts';
import { Ownership } from './ownership.ts';

export const sessionTtlMs = 10_000;
const callDeadlineMs = 1_000;

export interface Member {
  readonly incarnation: string;
  readonly session: Session;
  readonly image: WatchedMetadataImage;
  readonly controller: Controller;
  readonly ownership: Ownership;
  readonly shards: Ownership;
  readonly standing: BrokerStanding;
  readonly metrics: BrokerMetrics;
  /** Partitions in service, as `<topic name>/<partition>` with the epoch. */
  readonly serving: ReadonlyMap<string, number>;
  /** How long giving up takes, as the last flush does. */
  barrierMs: number;
  /** As by SIGKILL: nothing of it reaches the store any more. */
  kill(): void;
  drain(limitMs: number): Promise<DrainOutcome>;
  /** Ends its session. */
  stop(): Promise<void>;
}

export type ClusterMembers = ReturnType<typeof clusterMembers>;

export function clusterMembers(settings: Partial<ControllerSettings> = {}) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const members: Member[] = [];
  const topicIdOf = (name: string) => Buffer.alloc(16, name).toString('base64url');

  const start = async (incarnation: string, rack = ''): Promise<Member> => {
    const line = { dead: false };
    const own = mortal(store, line);
    const session = await Session.open(incarnation, {
      ...{ store: own, clock },
      settings: { ttlMs: sessionTtlMs, callDeadlineMs, settleDeadlineMs: sessionTtlMs },
    });
    const registration = {
      ...{ incarnation, leaseId: session.leaseId },
      endpoint: { host: 'localhost', port: 9092, rack },
    };
    const brokerId = await registerBroker({ store: own, lane: session.lane('data'), clock }, registration);
    const standing = new BrokerStanding(inService, (next) => {
      return storeStanding(session.lane('upkeep'), brokerId, registration, next);
    });
    const random = seededRandom(brokerId + 1);
    const parts = { store: own, clock, random, logger: silentLogger, incarnation };
    const image = await WatchedMetadataImage.open({ ...parts, clusterId: 'cluster' });
    const serving = new Map<string, number>();
    const metrics = createMetrics();
    const common = { ...parts, upkeepLane: session.lane('upkeep'), brokerId, callDeadlineMs };
    const ownership = new Ownership({
      ...common,
      lane: session.lane('data'),
      view: partitionsView(image),
      observer: ownershipMetrics(metrics, 'topic'),
      kind: {
        open: (acquired) => {
          for (const { topicName, partition, record } of acquired) {
            serving.set(`${topicName}/${partition}`, record.leaderEpoch);
          }
          return Promise.resolve();
        },
        giveUp: async (partitions) => {
          for (const { topicId, partition } of partitions) serving.delete(`${nameOf(topicId)}/${partition}`);
          if (member.barrierMs > 0) await clock.sleep(member.barrierMs);
          return partitions.map(() => undefined);
        },
      },
    });
    const nothingToDo = {
      open: () => Promise.resolve(),
      giveUp: (shards: readonly unknown[]) => Promise.resolve(shards.map(() => undefined)),
    };
    const shards = new Ownership({
      ...common,
      lane: session.lane('coordinator'),
      view: groupShardsView(image),
      observer: ownershipMetrics(metrics, 'group_shard'),
      kind: nothingToDo,
    });
    const controller = new Controller({
      ...{ ...parts, lane: session.lane('upkeep'), image, callDeadlineMs },
      settings: { rebalanceDelayMs: 0, maxMoves: 1_000, historyMs: 60_000, ...settings },
      observer: controllerMetrics(metrics),
    });
    const close = () => {
      controller.close();
      ownership.close();
      shards.close();
    };
    const member: Member = {
      ...{ incarnation, session, image, controller, ownership, shards, serving, standing, metrics },
      barrierMs: 0,
      kill: () => {
        line.dead = true;
        close();
        session.end(new Error('killed'));
        void image.close();
        members.splice(members.indexOf(member), 1);
      },
      drain: (limitMs) => {
        const announce = () => standing.drainForGood();
        return drain({ ownerships: [ownership, shards], image, incarnation, clock, announce }, limitMs);
      },
      stop: async () => {
        members.splice(members.indexOf(member), 1);
        close();
        await session.revoke(new Error('stopped'));
        await image.close();
      },
    };
    members.push(member);
    await controller.start();
    await Promise.all([ownership.start(), shards.start()]);
    return member;
  };

  const names: string[] = [];
  const nameOf = (topicId: string) => names.find((name) => topicIdOf(name) === topicId)!;
  const putTopic = async (name: string, partitionCount: number, deleting = false) => {
    if (!names.includes(name)) names.push(name);
    const value = metadata.TopicRecord.encode({
      ...{ topicId: Buffer.alloc(16, name), partitionCount, replicationFactor: 1, configs: new Map() },
      ...{ createdMs: 0n, deleting },
    }).finish();
    await store.transact({ compare: [], success: [{ type: 'put', key: metadataKeys.topic(name), value }] });
  };

  /** Of all partitions of topics and shards, who owns them by their records. */
  const owners = async (prefix: string = metadataPrefixes.partitions) => {
    const { items } = await store.range({ key: prefix, end: prefixEnd(prefix) });
    return items.map(({ value }) => metadata.PartitionRecord.decode(value).owner);
  };

  const partitionsOf = (name: string) => metadataPrefixes.partitionsOf(topicIdOf(name));
  /** How many partitions each member serves, in the order of their starts. */
  const counts = () => members.map(({ serving }) => serving.size);
  /** Advances until `condition` holds, and answers how long it took; throws after `limitMs`. */
  const until = async (condition: () => boolean, limitMs = 60_000): Promise<number> => {
    for (let passedMs = 0; passedMs <= limitMs; passedMs += 10) {
      if (condition()) return passedMs;
      await clock.advanceAsync(10);
    }
    throw new Error(`it did not come to pass within ${limitMs} ms`);
  };
  const closeAll = async () => {
    for (const member of [...members]) await member.stop();
  };
  return { clock, store, members, start, putTopic, owners, partitionsOf, counts, until, closeAll, topicIdOf };
}

/** The store as one process reaches it: not at all once that is dead. */
function mortal(store: MetadataStore, line: { readonly dead: boolean }): MetadataStore {
  return new Proxy(store, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      return (...parameters: unknown[]): unknown => {
        if (line.dead && name !== 'watch') return new Promise(() => undefined);
        return Reflect.apply(method, target, parameters);
      };
    },
  });
}
