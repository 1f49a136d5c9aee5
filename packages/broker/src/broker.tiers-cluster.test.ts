import { ErrorCode, metadata, metadataPrefixes, splitBatches, readRecords } from '@kafscale/protocol';
import { eventually } from '@kafscale/testkit';
import { batch, createTopic, produceTo, readAll } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { prefixEnd } from './metadata/metadata-store.ts';

/** Folds nearly at once, into small segments; reads nothing from memory that was folded. */
const config = { foldAfterMs: 200, segmentBytes: 64 * 1_024, hotTailBytes: 64 * 1_024 };
const partitions = 4;
const topic = 'orders';

let cluster: ClusterFixture;
beforeEach(() => (cluster = new ClusterFixture()));
afterEach(() => cluster.closeAll());

/** In the order of the partitions. */
const records = async () => {
  const { partitions: prefix } = metadataPrefixes;
  const { items } = await cluster.store.range({ key: prefix, end: prefixEnd(prefix) });
  return items
    .filter(({ key }) => !key.includes('group-shards'))
    .map(({ value }) => metadata.PartitionRecord.decode(value));
};

async function leader(partition: number, told: ClusterBroker): Promise<ClusterBroker | undefined> {
  return cluster.broker(await cluster.leaderOf(topic, partition, told));
}

describe('brokers that fold beside each other', () => {
  it('keep every acknowledged record in its place while one dies, one leaves and one joins', async () => {
    for (let count = 0; count < 3; count += 1) await cluster.add(config);
    let told = cluster.brokers[0]!;
    await createTopic(await cluster.connect(told), topic, partitions);
    const acknowledged = Array.from({ length: partitions }, () => new Map<number, string>());
    let sent = 0;
    /** One record into each partition, wherever it is led by now. */
    const produceRound = async () => {
      for (let partition = 0; partition < partitions; partition += 1) {
        const value = `${(sent += 1)}:${'x'.repeat(partition === 0 ? 9_000 : 50)}`;
        await eventually(
          `record ${sent} is acknowledged`,
          async () => {
            const at = await leader(partition, told);
            if (at === undefined) return false;
            const client = await cluster.connect(at);
            const answer = await produceTo(client, topic, partition, batch([value])).catch(() => undefined);
            if (answer?.errorCode !== ErrorCode.NONE) return false;
            acknowledged[partition]!.set(answer.baseOffset, value);
            return true;
          },
          30_000,
        );
      }
    };
    const [first, second] = [cluster.brokers[0]!, cluster.brokers[1]!];
    for (let round = 0; round < 8; round += 1) await produceRound();
    told = cluster.brokers[2]!;
    first.cutOff();
    for (let round = 0; round < 4; round += 1) await produceRound();
    await cluster.add(config);
    for (let round = 0; round < 4; round += 1) await produceRound();
    await second.running.close();
    for (let round = 0; round < 4; round += 1) await produceRound();
    first.heal();

    await eventually(
      'everything is folded',
      async () => {
        const all = await records();
        return all.every(({ foldedOffset }, partition) => {
          return Number(foldedOffset) > Math.max(...acknowledged[partition]!.keys());
        });
      },
      30_000,
    );
    for (let partition = 0; partition < partitions; partition += 1) {
      const client = await cluster.connect((await leader(partition, told))!);
      const found = new Map<number, string>();
      for (const view of splitBatches(await readAll(client, topic, partition)).batches) {
        for (const record of readRecords(view, 2 ** 20)) found.set(record.offset, record.value!.toString());
      }
      for (const [offset, value] of acknowledged[partition]!) expect(found.get(offset)).toBe(value);
    }
  }, 120_000);
});
