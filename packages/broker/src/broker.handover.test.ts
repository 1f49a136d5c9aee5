/** Brokers that hand over to each other, or die, as their clients see it: leaders, coordinators, waiting requests, hints. */
import { jest } from '@jest/globals';
import {
  createPartitions,
  deleteTopics,
  ErrorCode,
  fetch,
  incrementalAlterConfigs,
  listGroups,
  offsetFetch,
  produce,
  zeroUuid,
  type ResponseOf,
} from '@kafscale/protocol';
import { eventually, type RawClient } from '@kafscale/testkit';
import { batch, createTopic, fetchRequest, produceRequest, type ProducedPartition } from './broker-fixture.ts';
import { ClusterFixture, type ClusterBroker } from './cluster-fixture.ts';
import { Member } from './group-member-fixture.ts';

jest.setTimeout(60_000);

const { NONE, NOT_LEADER_OR_FOLLOWER, NOT_COORDINATOR, TOPIC_ALREADY_EXISTS } = ErrorCode;

let cluster: ClusterFixture;
afterEach(() => cluster.closeAll());

/** Produces at a version that carries hints, by topic name. */
async function produceOne(client: RawClient, topic: string, partition: number, value: string, input = {}) {
  const answer = await client.request(produce, 12, produceRequest(topic, partition, batch([value], input)));
  return { answer, result: answer.responses[0]!.partitionResponses[0]! };
}

/** Asks as a consumer does that has just come, without a fetch session. */
const fetchOne = (client: RawClient, topicId: string, partition: number, offset: number, maxWaitMs: number) =>
  client.request(fetch, 17, fetchRequest('', partition, { offset, maxWaitMs, minBytes: 1, topicId }));

const fetched = ({ responses }: ResponseOf<typeof fetch>) => responses[0]!.partitions[0]!;

describe('a broker that stops', () => {
  it('hands its partitions over: who waits there hears where to go, and finds the partition open', async () => {
    cluster = await ClusterFixture.started(3);
    const [first] = cluster.brokers as [ClusterBroker];
    const topicId = await createTopic(await cluster.connect(first), 't', 6);
    const leaderId = await cluster.leaderOf('t', 0, first);
    const leader = cluster.broker(leaderId);
    const told = cluster.others(leader)[0]!;
    const client = await cluster.connect(leader);
    expect((await produceOne(client, 't', 0, 'before')).result).toMatchObject({ errorCode: NONE, baseOffset: 0 });

    const polling = await cluster.connect(leader);
    const poll = fetchOne(polling, topicId, 0, 1, 30_000);
    const stopping = leader.running.close();
    const woken = await poll;
    expect(fetched(woken)).toMatchObject({ errorCode: NOT_LEADER_OR_FOLLOWER, records: [] });
    const { leaderId: heirId } = fetched(woken).currentLeader;
    expect(woken.nodeEndpoints).toMatchObject([{ nodeId: heirId, port: cluster.broker(heirId).running.port }]);

    // The client goes there at once: what it asks for is there, be it a moment later.
    const heir = await cluster.connect(cluster.broker(heirId));
    expect(fetched(await fetchOne(heir, topicId, 0, 0, 1_000))).toMatchObject({ errorCode: NONE, highWatermark: 1 });
    expect((await produceOne(heir, 't', 0, 'after')).result).toMatchObject({ errorCode: NONE, baseOffset: 1 });
    await stopping;
    expect(await cluster.leaderOf('t', 0, told)).toBe(heirId);
  });

  it('keeps an idempotent producer that does not wait for answers going, each batch once and in order', async () => {
    cluster = await ClusterFixture.started(2);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    await createTopic(await cluster.connect(first), 't', 1);
    const leaderId = await cluster.leaderOf('t', 0, first);
    const leader = cluster.broker(leaderId);
    const heir = leader === first ? second : first;
    const client = await cluster.connect(leader);
    const identity = (sequence: number) => ({ producerId: 7n, producerEpoch: 0, baseSequence: sequence });

    const results: ProducedPartition[] = [];
    let [stopping, isGone, sequence]: [Promise<void> | undefined, boolean, number] = [undefined, false, 0];
    for (; !isGone && results.at(-1)?.errorCode !== NOT_LEADER_OR_FOLLOWER; sequence += 5) {
      const sent = [0, 1, 2, 3, 4].map((index) => produceOne(client, 't', 0, 'v', identity(sequence + index)));
      if (sequence === 50) stopping = leader.running.close();
      const answers = await Promise.allSettled(sent);
      results.push(...answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.result] : [])));
      isGone = answers.some(({ status }) => status === 'rejected');
    }
    const committed = results.filter(({ errorCode }) => errorCode === NONE);
    expect(results.slice(0, committed.length)).toEqual(committed);
    expect(committed.map(({ baseOffset }) => baseOffset)).toEqual(committed.map((_, index) => index));

    const next = await cluster.connect(heir);
    const again = Array.from({ length: 5 }, (_, index) =>
      produceOne(next, 't', 0, 'v', identity(committed.length - 2 + index)),
    );
    const offsets = (await Promise.all(again)).map(({ result }) => [result.errorCode, result.baseOffset]);
    expect(offsets).toEqual([0, 1, 2, 3, 4].map((index) => [NONE, committed.length - 2 + index]));
    await stopping;
  });

  it('hands its groups over: the members go on in their generation, with their offsets', async () => {
    cluster = await ClusterFixture.started(3);
    const [first] = cluster.brokers as [ClusterBroker];
    await createTopic(await cluster.connect(first), 't');
    const groupId = await cluster.groupAt(first);
    const members = [0, 1].map(async () => new Member(await cluster.connect(first), groupId));
    const [leader, follower] = (await Promise.all(members)) as [Member, Member];
    const joins = await Promise.all([leader.join(), follower.join()]);
    const assign = new Map(joins.map(({ memberId }, index) => [memberId, `${index}`]));
    const last = Math.max(...joins.map(({ generationId }) => generationId));
    const settledIn = async (member: Member) => {
      while (member.generationId < last) await member.join();
    };
    await Promise.all([settledIn(leader), settledIn(follower)]);
    await Promise.all([leader.sync(assign), follower.sync(assign)]);
    expect(await leader.commit(42n)).toBe(NONE);

    const told = cluster.others(first)[0]!;
    const stopping = first.running.close();
    let coordinator: ClusterBroker | undefined;
    await eventually('the group has another coordinator', async () => {
      coordinator = await cluster.coordinatorOf(groupId, told);
      return coordinator !== undefined && coordinator !== first;
    });
    const moved = [leader, follower].map(async (member) => member.on(await cluster.connect(coordinator!)));
    const [newLeader, newFollower] = (await Promise.all(moved)) as [Member, Member];
    expect(await Promise.all([newLeader.beat(), newFollower.beat()])).toEqual([NONE, NONE]);
    expect(await newLeader.commit(43n)).toBe(NONE);
    await stopping;
    const client = await cluster.connect(coordinator!);
    const { groups } = await client.request(offsetFetch, 8, {
      groupId: '',
      topics: [],
      requireStable: false,
      groups: [
        { groupId, memberId: null, memberEpoch: -1, topics: [{ name: 't', topicId: zeroUuid, partitionIndexes: [0] }] },
      ],
    });
    expect(groups[0]!.topics[0]!.partitions[0]).toMatchObject({ committedOffset: 43n, errorCode: NONE });
  });
});

describe('a broker that is cut off from the metadata store', () => {
  it('loses its partitions and groups to the others, who know all that was acknowledged', async () => {
    cluster = await ClusterFixture.started(3);
    const [first] = cluster.brokers as [ClusterBroker];
    const topicId = await createTopic(await cluster.connect(first), 't', 6);
    const groupId = await cluster.groupAt(first);
    const member = new Member(await cluster.connect(first), groupId);
    await member.join();
    await member.sync(new Map([[member.memberId, 'mine']]));
    expect(await member.commit(5n)).toBe(NONE);
    const told = cluster.others(first)[0]!;
    const partitions = [0, 1, 2, 3, 4, 5];
    const leaders = await Promise.all(partitions.map((partition) => cluster.leaderOf('t', partition, told)));
    const partition = leaders.indexOf(first.id);
    const client = await cluster.connect(first);
    expect((await produceOne(client, 't', partition, 'acknowledged')).result.errorCode).toBe(NONE);

    first.cutOff();
    const zombie = await cluster.connect(first);
    const heirId = await cluster.moved('t', partition, first.id, told);
    const heir = await cluster.connect(cluster.broker(heirId));
    await eventually('the partition is open', async () => {
      const { errorCode, highWatermark } = fetched(await fetchOne(heir, topicId, partition, 0, 100));
      return errorCode === NONE && highWatermark === 1;
    });
    let coordinator: ClusterBroker | undefined;
    await eventually('the group has another coordinator', async () => {
      coordinator = await cluster.coordinatorOf(groupId, told);
      return coordinator !== undefined && coordinator !== first;
    });
    const moved = member.on(await cluster.connect(coordinator!));
    expect(await moved.beat()).toBe(NONE);
    expect(await moved.sync()).toBe('mine');
    expect(await moved.commit(6n)).toBe(NONE);
    // Whatever the zombie says, it is nothing from memory: an error, or the end of the connection.
    const late = await produceOne(zombie, 't', partition, 'late').catch(() => undefined);
    expect(late?.result.errorCode).not.toBe(NONE);
  });

  it('lets go of clients whose batches have no outcome, so that they go on where the partition is by now', async () => {
    cluster = await ClusterFixture.started(3);
    const [first] = cluster.brokers as [ClusterBroker];
    await createTopic(await cluster.connect(first), 't', 6);
    const told = cluster.others(first)[0]!;
    const partitions = [0, 1, 2, 3, 4, 5];
    const leaders = await Promise.all(partitions.map((partition) => cluster.leaderOf('t', partition, told)));
    const partition = leaders.indexOf(first.id);
    const client = await cluster.connect(first);
    const identity = { producerId: 7n, producerEpoch: 0, baseSequence: 0 };
    first.cutOff();
    await expect(produceOne(client, 't', partition, 'v', identity)).rejects.toThrow('connection closed');
    const heir = await cluster.connect(cluster.broker(await cluster.moved('t', partition, first.id, told)));
    const { result } = await produceOne(heir, 't', partition, 'v', identity);
    expect(result).toMatchObject({ errorCode: NONE, baseOffset: 0 });
  });
});

describe('a broker that is asked for what is not its own', () => {
  it('reads who owns it before it says so, although no watch has told it', async () => {
    cluster = await ClusterFixture.started(2);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    const topicId = await createTopic(await cluster.connect(first), 't', 4);
    const partitions = [0, 1, 2, 3];
    const leaders = await Promise.all(partitions.map((partition) => cluster.leaderOf('t', partition, first)));
    const mine = leaders.indexOf(first.id);
    const theirs = leaders.indexOf(second.id);
    const client = await cluster.connect(first);
    const { answer, result } = await produceOne(client, 't', theirs, 'v');
    expect(result).toMatchObject({ errorCode: NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: second.id } });
    expect(answer.nodeEndpoints).toMatchObject([{ nodeId: second.id, port: second.running.port }]);
    const read = await fetchOne(client, topicId, theirs, 0, 0);
    expect(fetched(read)).toMatchObject({ errorCode: NOT_LEADER_OR_FOLLOWER, currentLeader: { leaderId: second.id } });
    expect((await produceOne(client, 't', mine, 'v')).result.errorCode).toBe(NONE);
    const groupId = await cluster.groupAt(second);
    expect((await new Member(client, groupId).join()).errorCode).toBe(NOT_COORDINATOR);
  });

  it('takes administration, and lists its own groups', async () => {
    cluster = await ClusterFixture.started(3);
    const [first, second, third] = cluster.brokers as [ClusterBroker, ClusterBroker, ClusterBroker];
    const [one, two, three] = await Promise.all([first, second, third].map((broker) => cluster.connect(broker)));
    await createTopic(one!, 't', 1);
    await eventually('the others know the topic', async () => (await cluster.leaderOf('t', 0, second)) >= 0);
    const grown = await two!.request(createPartitions, 3, {
      topics: [{ name: 't', count: 4, assignments: null }],
      timeoutMs: 10_000,
      validateOnly: false,
    });
    expect(grown.results).toMatchObject([{ errorCode: NONE }]);
    const configs = [{ name: 'retention.ms', configOperation: 0, value: '1000' }];
    const altered = await three!.request(incrementalAlterConfigs, 1, {
      resources: [{ resourceType: 2, resourceName: 't', configs }],
      validateOnly: false,
    });
    expect(altered.responses).toMatchObject([{ errorCode: NONE }]);

    const groupIds = await Promise.all([first, second, third].map((broker) => cluster.groupAt(broker)));
    for (const [index, client] of [one!, two!, three!].entries()) {
      const member = new Member(client, groupIds[index]!);
      await member.join();
      const { groups } = await client.request(listGroups, 4, { statesFilter: [], typesFilter: [] });
      expect(groups.map(({ groupId }) => groupId)).toEqual([groupIds[index]]);
    }
  });
});

describe('a topic that many brokers own', () => {
  const deletion = (name: string, timeoutMs: number) => ({
    topics: [{ name, topicId: zeroUuid }],
    topicNames: [],
    timeoutMs,
  });

  it('is deleted by any of them, and nobody is acknowledged into the old one once its name is taken again', async () => {
    cluster = await ClusterFixture.started(3);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    const one = await cluster.connect(first);
    const oldId = await createTopic(one, 't', 6);
    await eventually('the others know the topic', async () => (await cluster.leaderOf('t', 5, second)) >= 0);
    const producers = await Promise.all(cluster.brokers.map((broker) => cluster.connect(broker)));
    let [isProducing, isDeleted, acknowledged] = [true, false, 0];
    const producing = producers.map(async (client) => {
      for (let turn = 0; isProducing; turn += 1) {
        const isLater = isDeleted;
        const { result } = await produceOne(client, 't', turn % 6, 'v');
        if (result.errorCode === NONE && isLater) acknowledged += 1;
      }
    });
    const deleted = await (await cluster.connect(second)).request(deleteTopics, 6, deletion('t', 30_000));
    expect(deleted.responses).toMatchObject([{ name: 't', topicId: oldId, errorCode: NONE }]);
    isDeleted = true;
    const newId = await createTopic(one, 't', 6);
    expect(newId).not.toBe(oldId);
    await eventually('producers go on', () => acknowledged > 20);
    isProducing = false;
    await Promise.all(producing);
    const ends = await Promise.all(
      Array.from({ length: 6 }, async (_, partition) => {
        const leader = cluster.broker(await cluster.leaderOf('t', partition, first));
        return fetched(await fetchOne(await cluster.connect(leader), newId, partition, 0, 0)).highWatermark;
      }),
    );
    expect(ends.reduce((sum, end) => sum + end, 0)).toBe(acknowledged);
  });

  it('keeps its name while an owner that is cut off may still live, and then goes', async () => {
    cluster = await ClusterFixture.started(3);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    const client = await cluster.connect(second);
    await createTopic(client, 't', 6);
    first.cutOff();
    const deleted = await client.request(deleteTopics, 6, deletion('t', 500));
    expect(deleted.responses).toMatchObject([{ errorCode: ErrorCode.REQUEST_TIMED_OUT }]);
    await expect(createTopic(client, 't')).rejects.toThrow(`error ${TOPIC_ALREADY_EXISTS}`);
    const again = await client.request(deleteTopics, 6, deletion('t', 30_000));
    expect(again.responses).toMatchObject([{ errorCode: NONE }]);
    await createTopic(client, 't');
  });

  it('goes although the broker that was asked to delete it dies', async () => {
    cluster = await ClusterFixture.started(3);
    const [first, second] = cluster.brokers as [ClusterBroker, ClusterBroker];
    const client = await cluster.connect(first);
    await createTopic(client, 't', 6);
    void client.request(deleteTopics, 6, deletion('t', 30_000)).catch(() => undefined);
    const told = await cluster.connect(second);
    await eventually('the topic is marked', async () => (await cluster.leaderOf('t', 0, second)) < 0);
    first.cutOff();
    await eventually(
      'its name is free',
      () =>
        createTopic(told, 't').then(
          () => true,
          () => false,
        ),
      30_000,
    );
  });
});
