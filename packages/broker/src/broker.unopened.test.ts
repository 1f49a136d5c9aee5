/** A partition of which something that was committed is lost: it stays closed, says so as Kafka does, and harms no other. */
import { jest } from '@jest/globals';
import { deleteTopics, describeError, ErrorCode, listOffsets, metadataPrefixes, zeroUuid } from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { batch, createTopic, fetchFrom, produceTo } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { prefixEnd } from './metadata/metadata-store.ts';

jest.setTimeout(60_000);

let cluster: ClusterFixture;
afterEach(() => cluster.closeAll());

const manifests = { key: metadataPrefixes.manifests, end: prefixEnd(metadataPrefixes.manifests) };

async function endOf(client: RawClient, partition: number): Promise<ErrorCode> {
  const partitions = [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp: -1n, maxNumOffsets: 1 }];
  const asked = { replicaId: -1, isolationLevel: 0, topics: [{ name: 't', partitions }], timeoutMs: 1_000 };
  const { topics } = await client.request(listOffsets, 7, asked);
  return topics[0]!.partitions[0]!.errorCode;
}

/** What produce, fetch and list-offsets say. */
async function answers(client: RawClient, partition: number): Promise<string[]> {
  const produced = await produceTo(client, 't', partition, batch(['more']));
  const fetched = await fetchFrom(client, 't', partition, { offset: 0, maxWaitMs: 0 });
  const codes = [produced.errorCode, fetched.errorCode, await endOf(client, partition)];
  return codes.map((code) => describeError(code).name);
}

const stop = async (broker: ClusterBroker) => {
  cluster.brokers.splice(cluster.brokers.indexOf(broker), 1);
  await broker.running.close();
};

describe('a partition whose log cannot be put together', () => {
  it('is KAFKA_STORAGE_ERROR until what is missing is back, while others are served; and it can be deleted', async () => {
    cluster = await ClusterFixture.started(1);
    const [first] = cluster.brokers as [ClusterBroker];
    const writer = await cluster.connect(first);
    await createTopic(writer, 't', 2);
    for (const value of ['a', 'b']) await produceTo(writer, 't', 0, batch([value]));
    await produceTo(writer, 't', 1, batch(['c']));
    await stop(first);
    const [lost] = (await cluster.store.range({ ...manifests, limit: 1 })).items;
    await cluster.store.transact({ compare: [], success: [{ type: 'delete', key: lost!.key }] });

    const second = await cluster.add();
    const client = await cluster.connect(second);
    expect(await answers(client, 0)).toEqual(Array.from({ length: 3 }, () => 'KAFKA_STORAGE_ERROR'));
    expect(await answers(client, 1)).toEqual(['NONE', 'NONE', 'NONE']);
    await stop(second);

    await cluster.store.transact({ compare: [], success: [{ type: 'put', key: lost!.key, value: lost!.value }] });
    const third = await cluster.add();
    const healed = await cluster.connect(third);
    expect(await answers(healed, 0)).toEqual(['NONE', 'NONE', 'NONE']);
    await stop(third);

    await cluster.store.transact({ compare: [], success: [{ type: 'delete', key: lost!.key }] });
    const last = await cluster.connect(await cluster.add());
    expect(await answers(last, 0)).toContain('KAFKA_STORAGE_ERROR');
    const request = { topics: [{ name: 't', topicId: zeroUuid }], topicNames: ['t'], timeoutMs: 20_000 };
    const { responses } = await last.request(deleteTopics, 5, request);
    expect(responses[0]!.errorCode).toBe(ErrorCode.NONE);
  });
});
