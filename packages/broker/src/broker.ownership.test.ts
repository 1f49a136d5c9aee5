/** Brokers that come, stop, die and come back under producers that never rest: what was acknowledged is there, once and in order. */
import { jest } from '@jest/globals';
import { describeError, ErrorCode, metadata, metadataKeys, splitBatches } from '@kafscale/protocol';
import { eventually, type RawClient } from '@kafscale/testkit';
import { batch, createTopic, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';

jest.setTimeout(120_000);

const partitionCount = 12;

let cluster: ClusterFixture;
afterEach(() => cluster.closeAll());

/** An idempotent producer with one batch under way, which tries again whatever happens, where the leader is by then. */
class SteadyProducer {
  readonly #partition: number;
  readonly #told: ClusterBroker;
  readonly #clients = new Map<number, RawClient>();
  #leader = -1;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  /** How many batches were acknowledged; each has one record, so the offset of each is its number. */
  acknowledged = 0;
  /** Answers that a client does not survive, and offsets that are not what they should be. */
  readonly faults: string[] = [];

  constructor(partition: number, told: ClusterBroker) {
    this.#partition = partition;
    this.#told = told;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (await this.#sendNext()) continue;
      this.#leader = -1;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** False when the batch is to be sent again. */
  async #sendNext(): Promise<boolean> {
    const baseSequence = this.acknowledged;
    try {
      if (this.#leader < 0) this.#leader = await cluster.leaderOf('t', this.#partition, this.#told);
      if (this.#leader < 0) return false;
      const client = await this.#clientOf(this.#leader);
      const identity = { producerId: BigInt(this.#partition), producerEpoch: 0, baseSequence };
      const { errorCode, baseOffset } = await produceTo(client, 't', this.#partition, batch(['v'], identity));
      if (errorCode === ErrorCode.NONE) {
        if (baseOffset !== baseSequence) this.faults.push(`batch ${baseSequence} is at ${baseOffset}`);
        this.acknowledged += 1;
        return true;
      }
      if (!describeError(errorCode).retriable) this.faults.push(describeError(errorCode).name);
    } catch {
      this.#clients.delete(this.#leader); // the connection has ended, as it may
    }
    return false;
  }

  async #clientOf(leader: number): Promise<RawClient> {
    const known = this.#clients.get(leader);
    if (known !== undefined) return known;
    const client = await cluster.connect(cluster.broker(leader));
    this.#clients.set(leader, client);
    return client;
  }
}

const leaders = async (told: ClusterBroker): Promise<number[]> => {
  const found: number[] = [];
  for (let partition = 0; partition < partitionCount; partition += 1) {
    found.push(await cluster.leaderOf('t', partition, told));
  }
  return found;
};

/** Each of these brokers leads its share, and nobody else leads anything. */
const shared = (told: ClusterBroker, brokers: readonly ClusterBroker[]) =>
  eventually(`${brokers.length} brokers share the partitions`, async () => {
    const found = await leaders(told);
    const counts = brokers.map(({ id }) => found.filter((leader) => leader === id).length);
    return (
      counts.reduce((sum, count) => sum + count, 0) === partitionCount && Math.max(...counts) - Math.min(...counts) <= 1
    );
  });

const remove = async (broker: ClusterBroker) => {
  cluster.brokers.splice(cluster.brokers.indexOf(broker), 1);
  await broker.running.close();
};

/** As the controller would: it goes by its own decisions, so this one stays. */
async function assign(topicId: string, broker: ClusterBroker): Promise<void> {
  const { items } = await cluster.store.range({ key: metadataKeys.broker(broker.id) });
  const { incarnation } = metadata.BrokerRecord.decode(items[0]!.value);
  const value = metadata.AssignmentRecord.encode({ incarnations: [incarnation], owners: [1] }).finish();
  await cluster.store.transact({
    compare: [],
    success: [{ type: 'put', key: metadataKeys.assignment(topicId), value }],
  });
}

async function ownerOf(topicId: string): Promise<number> {
  const { items } = await cluster.store.range({ key: metadataKeys.partition(topicId, 0) });
  return metadata.PartitionRecord.decode(items[0]!.value).brokerId;
}

describe('a cluster of brokers', () => {
  it('keeps every acknowledged batch, once and in order, while brokers come, stop, die and come back', async () => {
    cluster = await ClusterFixture.started(3);
    const [first, second, third] = cluster.brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(first), 't', partitionCount);
    await shared(first, cluster.brokers);
    const producers = Array.from({ length: partitionCount }, (_, partition) => new SteadyProducer(partition, first));
    for (const producer of producers) producer.start();
    const progress = async () => {
      const before = producers.map(({ acknowledged }) => acknowledged);
      await eventually('every partition takes batches', () =>
        producers.every(({ acknowledged }, index) => acknowledged > before[index]! + 5),
      );
    };
    await progress();

    const fourth = await cluster.add();
    await shared(first, [first, second, third, fourth]);
    await progress();
    await remove(second);
    await shared(first, [first, third, fourth]);
    await progress();
    third.cutOff();
    await shared(first, [first, fourth]);
    await progress();
    third.heal(); // it starts again as a new incarnation, and has its share once more
    await shared(first, [first, third, fourth]);
    await progress();
    await remove(fourth);
    await shared(first, [first, third]);
    await progress();

    await Promise.all(producers.map((producer) => producer.stop()));
    expect(producers.flatMap(({ faults }) => faults)).toEqual([]);
    for (const [partition, { acknowledged }] of producers.entries()) {
      const leader = cluster.broker(await cluster.leaderOf('t', partition, first));
      const { batches } = splitBatches(await readAll(await cluster.connect(leader), 't', partition));
      expect(batches.map(({ baseSequence }) => baseSequence)).toEqual(batches.map(({ baseOffset }) => baseOffset));
      const epochs = batches.map(({ partitionLeaderEpoch }) => partitionLeaderEpoch);
      expect(epochs).toEqual([...epochs].sort((left, right) => left - right));
      expect([acknowledged, acknowledged + 1]).toContain(batches.length);
    }
  });

  it('is stopped to the last broker and started again with everything it had', async () => {
    cluster = await ClusterFixture.started(2);
    const [first] = cluster.brokers as [ClusterBroker];
    await createTopic(await cluster.connect(first), 't', partitionCount);
    await shared(first, cluster.brokers);
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const leader = cluster.broker(await cluster.leaderOf('t', partition, first));
      const { errorCode } = await produceTo(await cluster.connect(leader), 't', partition, batch(['v']));
      expect(errorCode).toBe(ErrorCode.NONE);
    }
    await Promise.all([...cluster.brokers].map((broker) => remove(broker)));

    const next = await cluster.add();
    await shared(next, [next]);
    const client = await cluster.connect(next);
    for (let partition = 0; partition < partitionCount; partition += 1) {
      expect(splitBatches(await readAll(client, 't', partition)).batches).toHaveLength(1);
    }
  });

  it('hands a partition over behind eight uploads, and back, with every batch at one offset', async () => {
    cluster = await ClusterFixture.started(2);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    const topicId = await createTopic(await cluster.connect(first), 't', 1);
    const owner = cluster.broker(await cluster.leaderOf('t', 0, first));
    const heir = owner === first ? second : first;
    const producing = await cluster.connect(owner);
    const next = await cluster.connect(heir);

    const uploads: (() => void)[] = [];
    const { objects } = cluster;
    const create = objects.create.bind(objects);
    objects.create = async (...object) => {
      await new Promise<void>((resolve) => uploads.push(resolve));
      return create(...object);
    };
    const sent: Promise<{ errorCode: ErrorCode; baseOffset: bigint | number }>[] = [];
    for (let index = 0; index < 8; index += 1) {
      sent.push(produceTo(producing, 't', 0, batch([String(index)])));
      await eventually(`upload ${index} has begun`, () => uploads.length === index + 1);
    }
    await assign(topicId, heir);
    await eventually('the partition takes nothing more', async () => {
      const { errorCode } = await produceTo(await cluster.connect(owner), 't', 0, batch(['too late']));
      return errorCode === ErrorCode.NOT_LEADER_OR_FOLLOWER;
    });
    expect(await ownerOf(topicId)).toBe(owner.id);
    objects.create = create;
    for (const finish of uploads.reverse()) finish();
    const answers = await Promise.all(sent);
    expect(answers.map(({ errorCode, baseOffset }) => [errorCode, Number(baseOffset)])).toEqual(
      answers.map((_, index) => [ErrorCode.NONE, index]),
    );
    await eventually('the heir leads', async () => (await cluster.leaderOf('t', 0, heir)) === heir.id);
    expect(await produceTo(next, 't', 0, batch(['8']))).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 8 });

    await assign(topicId, owner);
    await eventually('the first owner leads again', async () => (await cluster.leaderOf('t', 0, owner)) === owner.id);
    const again = await cluster.connect(owner);
    expect(await produceTo(again, 't', 0, batch(['9']))).toMatchObject({ errorCode: ErrorCode.NONE, baseOffset: 9 });
    const { batches } = splitBatches(await readAll(again, 't', 0));
    expect(batches.map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(batches.map(({ partitionLeaderEpoch }) => partitionLeaderEpoch)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
  });

  it('gives nothing to a broker that only reads', async () => {
    cluster = await ClusterFixture.started(1);
    const [first] = cluster.brokers as [ClusterBroker];
    const reading = await cluster.add({ role: 'read' });
    await createTopic(await cluster.connect(first), 't', partitionCount);
    await shared(first, [first]);
    expect(await leaders(reading)).toEqual(Array.from({ length: partitionCount }, () => first.id));
    await remove(first); // nobody could take anything, so it does not wait
    await eventually('nobody leads', async () => (await leaders(reading)).every((leader) => leader === -1));
  });

  it('names who has a broker id that two want', async () => {
    cluster = await ClusterFixture.started(1);
    const [first] = cluster.brokers as [ClusterBroker];
    const second = cluster.add({ brokerId: first.id, sessionTtlMs: 1_000 });
    await expect(second).rejects.toThrow(`127.0.0.1:${first.running.port}`);
    await expect(second).rejects.toThrow('KAFSCALE_BROKER_ID');
  });
});
