/**
 * For tests of brokers that work together: several in this process on the same stores in memory, each of which can be stopped, or cut
 * off from the metadata store as if it were dead to the others.
 */
import { brokerConfigSchema, findCoordinator, metadataApi, zeroUuid } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock, type Clock, type Logger } from '@kafscale/runtime';
import { eventually, RawClient } from '@kafscale/testkit';
import { startBroker, type RunningBroker } from './broker.ts';
import { FaultyMetadataStore } from './metadata/faulty-metadata-store.ts';
import { MemoryMetadataStore } from './metadata/memory-metadata-store.ts';
import type { MetadataStore } from './metadata/metadata-store.ts';
import { MemoryObjectStore } from './storage/memory-object-store.ts';
import type { ObjectStore } from './storage/object-store.ts';

/** Short, yet longer than a busy machine keeps a process waiting. */
const sessionTtlMs = 3_000;

export class ClusterBroker {
  readonly running: RunningBroker;
  readonly #metadata: FaultyMetadataStore;
  readonly #hearing: { isDeaf: boolean };

  constructor(running: RunningBroker, metadata: FaultyMetadataStore, hearing: { isDeaf: boolean }) {
    this.running = running;
    this.#metadata = metadata;
    this.#hearing = hearing;
  }

  get id(): number {
    return this.running.brokerId;
  }

  /** Nothing it sends reaches the metadata store any more, and nothing is answered: for the others it dies after its session's time. */
  cutOff(): void {
    this.#metadata.plan = () => 'hang';
  }

  /** What it sends arrives, but no watch tells it of anything: it learns by reading alone. */
  deafen(): void {
    this.#hearing.isDeaf = true;
  }

  heal(): void {
    this.#metadata.heal();
    this.#hearing.isDeaf = false;
  }
}

export class ClusterFixture {
  readonly store: MetadataStore;
  readonly objects = new MemoryObjectStore({ clock: systemClock });
  readonly brokers: ClusterBroker[] = [];
  readonly #clients: RawClient[] = [];

  /** On `store`, which is closed with the fixture; on one in memory unless told. */
  constructor(store: MetadataStore = new MemoryMetadataStore({ clock: systemClock })) {
    this.store = store;
    this.objects.close = () => Promise.resolve();
  }

  static async started(count: number, store?: MetadataStore): Promise<ClusterFixture> {
    const cluster = new ClusterFixture(store);
    for (let broker = 0; broker < count; broker += 1) await cluster.add();
    return cluster;
  }

  /** With `objectStore` in the place of the one that all share, and with a `clock` of its own. */
  async add(
    config: Readonly<Record<string, unknown>> = {},
    logger: Logger = silentLogger,
    objectStore: ObjectStore = this.objects,
    clock: Clock = systemClock,
  ): Promise<ClusterBroker> {
    const hearing = { isDeaf: false };
    const watchPlan = () => ({ loses: () => hearing.isDeaf });
    const metadataStore = new FaultyMetadataStore(this.store, { clock: systemClock, watchPlan });
    metadataStore.close = () => Promise.resolve();
    const parsed = brokerConfigSchema.parse({
      kafkaAddress: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
      advertisedHost: '127.0.0.1',
      flushIntervalMs: 2,
      groupInitialRebalanceDelayMs: 0,
      maxConnectionsPerSecond: 100_000,
      rebalanceDelayMs: 0,
      sessionTtlMs,
      ...config,
    });
    const dependencies = { clock, random: cryptoRandom, logger };
    const running = await startBroker(parsed, dependencies, { objectStore, metadataStore });
    const broker = new ClusterBroker(running, metadataStore, hearing);
    this.brokers.push(broker);
    return broker;
  }

  broker(brokerId: number): ClusterBroker {
    return this.brokers.find(({ id }) => id === brokerId)!;
  }

  others(broker: ClusterBroker): ClusterBroker[] {
    return this.brokers.filter((other) => other !== broker);
  }

  async connect({ running }: ClusterBroker): Promise<RawClient> {
    const client = await RawClient.connect({ port: running.port });
    this.#clients.push(client);
    return client;
  }

  /** Who leads the partition, as this broker tells it; -1 for nobody. */
  async leaderOf(topic: string, partition: number, told: ClusterBroker): Promise<number> {
    const client = await this.connect(told);
    const { topics } = await client.request(metadataApi, 12, {
      topics: [{ name: topic, topicId: zeroUuid }],
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    return topics[0]!.partitions.find(({ partitionIndex }) => partitionIndex === partition)?.leaderId ?? -1;
  }

  /** The broker that coordinates the group, as this one tells it; undefined for nobody. */
  async coordinatorOf(groupId: string, told: ClusterBroker): Promise<ClusterBroker | undefined> {
    const client = await this.connect(told);
    const request = { key: '', keyType: 0, coordinatorKeys: [groupId] };
    const { coordinators } = await client.request(findCoordinator, 4, request);
    return this.brokers.find(({ id }) => id === coordinators[0]!.nodeId);
  }

  /** A group whose shard the broker owns. */
  async groupAt(broker: ClusterBroker): Promise<string> {
    for (let index = 0; ; index += 1) {
      const groupId = `group-${index}`;
      if ((await this.coordinatorOf(groupId, broker)) === broker) return groupId;
    }
  }

  /** Resolves when the partition is led by another broker than this, as `told` tells it. */
  async moved(topic: string, partition: number, from: number, told: ClusterBroker): Promise<number> {
    let leader = -1;
    await eventually(`partition ${partition} is led by another broker`, async () => {
      leader = await this.leaderOf(topic, partition, told);
      return leader >= 0 && leader !== from;
    });
    return leader;
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
    for (const broker of this.brokers) broker.heal();
    await Promise.all(this.brokers.splice(0).map(({ running }) => running.close()));
    await this.store.close();
  }
}
