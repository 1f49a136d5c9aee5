import { ErrorCode } from '@kafscale/protocol';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeKubeApi, type FakeKind, type FakeObject } from '@kafscale/testkit';
import type { KafScaleTopicStatus } from '../../api/topic.ts';
import { KafkaAdminError } from '../../brokers/kafka-admin.ts';
import { createKubeClient, EventRecorder, type KubeClient } from '../../kube/index.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { clusterResource, topicResource } from '../resource-kinds.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { StubTopics } from './stub-topics-fixture.ts';
import { createTopicController, type TopicController } from './topic-controller.ts';

const { INVALID_CONFIG, TOPIC_ALREADY_EXISTS, POLICY_VIOLATION } = ErrorCode;
const ownKinds: readonly FakeKind[] = [clusterResource, topicResource].map(({ apiVersion, kind, plural }) => {
  return { apiVersion, kind, plural, namespaced: true };
});
const lookEveryMs = 100;

describe('the topic controller', () => {
  let api: FakeKubeApi;
  let client: KubeClient;
  let world: WatchedWorld;
  let kafka: StubTopics;
  let controller: TopicController;
  let admins: number;

  beforeEach(async () => {
    api = await FakeKubeApi.start({ kinds: ownKinds });
    client = createKubeClient({ access: api.access(), clock: systemClock });
    kafka = new StubTopics();
    admins = 0;
    await start();
  });

  afterEach(async () => {
    await controller.stop();
    await Promise.all([world.topics.stop(), world.clusters.stop()]);
    await client.close();
    await api.stop();
  });

  async function start(): Promise<void> {
    const common = { client, clock: systemClock, random: seededRandom(1), logger: silentLogger };
    world = watchWorld(common);
    world.topics.start();
    world.clusters.start();
    const events = new EventRecorder({ ...common, controller: 'kafscale.io/operator', instance: 'test' });
    controller = createTopicController({
      ...{ ...common, world, events, metrics: createOperatorMetrics(), lookEveryMs },
      figures: { everyMs: 50, perSecond: 1_000 },
      adminOf: () => {
        admins += 1;
        return kafka;
      },
    });
    await controller.start();
  }

  const addCluster = (ready = 1) =>
    api.create('KafScaleCluster', {
      ...{ metadata: { name: 'shop', namespace: 'default' }, spec: {} },
      status: { brokers: { ready } },
    });
  const addTopic = (name: string, spec: object = {}, metadata: FakeObject['metadata'] = {}) =>
    api.create('KafScaleTopic', {
      metadata: { name, namespace: 'default', ...metadata },
      spec: { clusterRef: 'shop', ...spec },
    });
  const statusOf = (name: string) => (api.get('KafScaleTopic', name)?.['status'] ?? {}) as KafScaleTopicStatus;
  const readyOf = (name: string) => statusOf(name).conditions?.find(({ type }) => type === 'Ready');
  const reasons = (reason: string, name = 'orders') =>
    eventually(`${name} is ${reason}`, () => readyOf(name)?.reason === reason, 20_000, 10);
  const eventReasons = () =>
    api.store.list(api.kind('Event', 'events.k8s.io/v1')).map((event) => event['reason'] as string);
  const reported = (reason: string) => eventually(`event ${reason}`, () => eventReasons().includes(reason), 20_000, 10);
  const looks = async (more = 2) => {
    const before = kafka.count('topics');
    await eventually('it is looked at again', () => kafka.count('topics') >= before + more, 20_000, 10);
  };
  const edit = (name: string, spec: object) =>
    api.update('KafScaleTopic', name, (object) => {
      object['spec'] = { clusterRef: 'shop', ...spec };
    });

  it('creates a topic, and says of it what the brokers say', async () => {
    addCluster();
    kafka.endOffsets.set('orders', 7);
    addTopic('orders', { partitions: 3, retentionMs: 1000, config: { 'cleanup.policy': 'compact, delete' } });
    await reasons('Synced');
    expect(kafka.topicsByName.get('orders')).toMatchObject({
      ...{ partitions: 3, configs: { 'retention.ms': '1000', 'cleanup.policy': 'compact,delete' } },
    });
    await eventually('its offsets are told', () => statusOf('orders').partitions?.[2]?.logEndOffset === 7);
    expect(statusOf('orders')).toMatchObject({
      ...{ observedGeneration: 1, phase: 'Ready', partitionCount: 3, topicId: 'id-1' },
      appliedConfig: ['cleanup.policy', 'retention.ms'],
      partitions: [0, 1, 2].map((id) => ({ id, leader: 0, logStartOffset: 0, logEndOffset: 7 })),
      conditions: [{ type: 'Ready', status: 'True', observedGeneration: 1 }],
    });
    await reported('Created');
  });

  it('makes no write where nothing changes, however often it looks', async () => {
    addCluster();
    addTopic('orders', { partitions: 2, retentionMs: 5 });
    await eventually('its offsets are told', () => statusOf('orders').partitions?.[1]?.logEndOffset === 0);
    await looks();
    api.requests.length = 0;
    kafka.calls.length = 0;
    await looks(5);
    controller.enqueue({ namespace: 'default', name: 'orders' });
    await looks();
    expect(api.writes).toEqual([]);
    expect([...new Set(kafka.calls.map(({ call }) => call))].sort()).toEqual(['configs', 'offsetsOf', 'topics']);
  });

  it('knows after a restart of the operator what it had said, and writes nothing', async () => {
    addCluster();
    kafka.endOffsets.set('orders', 7);
    addTopic('orders');
    await eventually('its offsets are told', () => statusOf('orders').partitions?.[0]?.logEndOffset === 7);
    await controller.stop();
    await Promise.all([world.topics.stop(), world.clusters.stop()]);
    expect(kafka.closed).toBe(1);
    api.requests.length = 0;
    await start();
    await looks();
    expect(api.writes).toEqual([]);
  });

  it('asks with few requests for many topics', async () => {
    addCluster();
    for (let index = 0; index < 200; index += 1) addTopic(`t-${index}`, { partitions: 2, retentionMs: 1000 });
    await eventually(
      'all are synced',
      () => api.list('KafScaleTopic').every(({ metadata }) => readyOf(metadata!.name!)?.reason === 'Synced'),
      30_000,
      50,
    );
    expect(kafka.topicsByName.size).toBe(200);
    expect(kafka.count('createTopics')).toBeLessThan(30);
    const sizes = kafka.calls.filter(({ call }) => call === 'createTopics').map(({ names }) => names.length);
    expect(Math.max(...sizes)).toBeGreaterThan(20);
    kafka.calls.length = 0;
    await looks(3);
    expect(kafka.calls.length).toBeLessThan(15);
  }, 60_000);

  it('adds partitions, and takes none away', async () => {
    addCluster();
    addTopic('orders', { partitions: 2 });
    await reasons('Synced');
    edit('orders', { partitions: 5 });
    await eventually('there are five', () => statusOf('orders').partitionCount === 5);
    await reported('PartitionsAdded');
    kafka.add('old', { partitions: 9 });
    addTopic('old', { partitions: 4, retentionMs: 3 });
    await reasons('PartitionsCannotShrink', 'old');
    expect(readyOf('old')!.message).toContain('set partitions to 9');
    expect(kafka.topicsByName.get('old')).toMatchObject({ partitions: 9, configs: { 'retention.ms': '3' } });
  });

  it('sets settings, sets them back, lets them go, and leaves those of others alone', async () => {
    addCluster();
    const topic = kafka.add('orders', { configs: { 'segment.ms': '9' } });
    addTopic('orders', { retentionMs: 1000, config: { 'max.message.bytes': '5' } });
    await reasons('Synced');
    await reported('Adopted');
    expect(topic.configs).toEqual({ 'segment.ms': '9', 'retention.ms': '1000', 'max.message.bytes': '5' });
    topic.configs = { 'segment.ms': '9', 'retention.ms': '77' };
    await eventually('it is set back', () => topic.configs['retention.ms'] === '1000');
    expect(topic.configs).toEqual({ 'segment.ms': '9', 'retention.ms': '1000', 'max.message.bytes': '5' });
    edit('orders', { retentionMs: 1000 });
    await eventually('it is unset', () => !('max.message.bytes' in topic.configs));
    await eventually('it is told', () => statusOf('orders').appliedConfig?.join() === 'retention.ms');
    edit('orders', {});
    await eventually('nothing of ours is left', () => Object.keys(topic.configs).join() === 'segment.ms');
    await eventually('it is told', () => statusOf('orders').appliedConfig === undefined);
  });

  it('says that a setting is ours before it sets it', async () => {
    addCluster();
    let appliedAtCreation: unknown;
    kafka.after = (call) => {
      if (call === 'createTopics') appliedAtCreation = statusOf('orders').appliedConfig;
    };
    addTopic('orders', { retentionMs: 1000 });
    await reasons('Synced');
    expect(appliedAtCreation).toEqual(['retention.ms']);
  });

  it('creates a topic again that somebody deleted, and says that it is empty', async () => {
    addCluster();
    addTopic('orders');
    await reasons('Synced');
    kafka.topicsByName.delete('orders');
    await eventually('it is there again', () => kafka.topicsByName.has('orders'));
    await reported('Recreated');
    await eventually('its id is told', () => statusOf('orders').topicId === 'id-2');
  });

  it('takes a creation whose answer got lost for done', async () => {
    addCluster();
    kafka.refuse = (call, name) => {
      if (call !== 'createTopics') return undefined;
      kafka.add(name);
      return new KafkaAdminError(TOPIC_ALREADY_EXISTS);
    };
    addTopic('orders', { partitions: 4 });
    await reasons('Synced');
    expect(statusOf('orders').partitionCount).toBe(4);
  });

  it("tells the brokers' refusal in their words, and gets over it", async () => {
    addCluster();
    let isRefused = true;
    kafka.refuse = (call) =>
      isRefused && call === 'createTopics'
        ? new KafkaAdminError(INVALID_CONFIG, 'Unknown topic config name: x')
        : undefined;
    addTopic('orders', { config: { x: '1' } });
    await reasons('Refused');
    expect(readyOf('orders')).toMatchObject({
      status: 'False',
      message: 'INVALID_CONFIG: Unknown topic config name: x',
    });
    await reported('Refused');
    const tries = kafka.count('createTopics');
    await looks(5);
    expect(kafka.count('createTopics')).toBe(tries);
    isRefused = false;
    edit('orders', {});
    await reasons('Synced');
    expect(statusOf('orders').appliedConfig).toBeUndefined();
  });

  it('reports a change that a policy forbids and keeps the rest as it is', async () => {
    addCluster();
    addTopic('orders', { partitions: 2 });
    await reasons('Synced');
    kafka.refuse = (call) => (call === 'alterConfigs' ? new KafkaAdminError(POLICY_VIOLATION, 'too long') : undefined);
    edit('orders', { partitions: 2, retentionMs: 99 });
    await reasons('Refused');
    expect(statusOf('orders')).toMatchObject({ partitionCount: 2, appliedConfig: ['retention.ms'] });
    expect(readyOf('orders')!.message).toBe('POLICY_VIOLATION: too long');
  });

  it.each([
    ['a topic of the brokers', 'orders', { topicName: '__consumer_offsets' }, 'belongs to the brokers'],
    ['a name that Kafka forbids', 'orders', { topicName: '..' }, 'no topic can be named'],
    ['a name that is too long', 'x'.repeat(250), {}, 'at most 249 characters'],
    ['no partitions', 'orders', { partitions: 0 }, 'spec.partitions'],
  ])('refuses %s and asks nobody', async (_, name, spec, words) => {
    addCluster();
    addTopic(name, spec);
    await reasons('Refused', name);
    expect(readyOf(name)!.message).toContain(words);
    expect(kafka.calls).toEqual([]);
  });

  it('lets the older of two resources have the topic, and the other one after it', async () => {
    addCluster();
    addTopic('orders', { partitions: 2 });
    await reasons('Synced');
    addTopic('second', { topicName: 'orders', partitions: 7 }, { creationTimestamp: '2999-01-01T00:00:00Z' });
    await reasons('NameTaken', 'second');
    expect(readyOf('second')!.message).toContain('KafScaleTopic orders describes');
    expect(kafka.topicsByName.get('orders')!.partitions).toBe(2);
    api.delete('KafScaleTopic', 'orders');
    await reasons('Synced', 'second');
    expect(kafka.topicsByName.get('orders')!.partitions).toBe(7);
  });

  describe('waiting for a cluster', () => {
    it('says that there is none, then that it is not ready, and goes on when it is', async () => {
      addTopic('orders');
      await reasons('ClusterNotFound');
      expect(readyOf('orders')).toMatchObject({
        status: 'False',
        message: expect.stringContaining('KafScaleCluster shop') as string,
      });
      addCluster(0);
      await reasons('ClusterNotReady');
      expect(kafka.calls).toEqual([]);
      expect(admins).toBe(0);
      api.setStatus('KafScaleCluster', 'shop', { brokers: { ready: 2 } });
      await reasons('Synced');
    });

    it('says when no broker answers, keeps what it knew, and goes on when one does', async () => {
      addCluster();
      addTopic('orders', { partitions: 2 });
      await reasons('Synced');
      kafka.isDown = true;
      await reasons('Unreachable');
      expect(readyOf('orders')).toMatchObject({
        status: 'Unknown',
        message: expect.stringContaining('cannot be reached') as string,
      });
      expect(statusOf('orders')).toMatchObject({ partitionCount: 2, topicId: 'id-1' });
      const before = kafka.calls.length;
      controller.enqueue({ namespace: 'default', name: 'orders' });
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(kafka.calls.length).toBe(before);
      kafka.isDown = false;
      await eventually('it is synced', () => readyOf('orders')?.reason === 'Synced', 15_000, 20);
    }, 30_000);

    it('closes its client when the cluster goes', async () => {
      addCluster();
      addTopic('orders');
      await reasons('Synced');
      api.delete('KafScaleCluster', 'shop');
      await reasons('ClusterNotFound');
      expect(kafka.closed).toBe(1);
    });
  });

  describe('a resource that is deleted', () => {
    const gone = (name = 'orders') =>
      eventually('the resource is gone', () => api.get('KafScaleTopic', name) === undefined, 20_000, 10);

    it('leaves its topic unless it says otherwise', async () => {
      addCluster();
      addTopic('orders');
      await reasons('Synced');
      expect(api.get('KafScaleTopic', 'orders')!.metadata!.finalizers).toBeUndefined();
      api.delete('KafScaleTopic', 'orders');
      await gone();
      await eventually('its client is closed, as nobody needs it', () => kafka.closed === 1, 20_000, 10);
      expect(kafka.count('deleteTopics')).toBe(0);
      expect(kafka.topicsByName.has('orders')).toBe(true);
    });

    it('takes its topic along where it says so, and is there until that is done', async () => {
      addCluster();
      addTopic('orders', { deletionPolicy: 'Delete' });
      await reasons('Synced');
      expect(api.get('KafScaleTopic', 'orders')!.metadata!.finalizers).toEqual(['kafscale.io/topic']);
      let wasThere = false;
      kafka.after = (call) => {
        if (call === 'deleteTopics') wasThere = api.get('KafScaleTopic', 'orders') !== undefined;
      };
      api.delete('KafScaleTopic', 'orders');
      await gone();
      expect(wasThere).toBe(true);
      expect(kafka.topicsByName.has('orders')).toBe(false);
      await reported('Deleted');
    });

    it('needs no finalizer any more when the policy changes', async () => {
      addCluster();
      addTopic('orders', { deletionPolicy: 'Delete' });
      await reasons('Synced');
      edit('orders', { deletionPolicy: 'Retain' });
      await eventually(
        'it is free',
        () => (api.get('KafScaleTopic', 'orders')!.metadata!.finalizers ?? []).length === 0,
      );
    });

    it('waits while the topic cannot be deleted, and goes without it when it is told to', async () => {
      addCluster();
      addTopic('orders', { deletionPolicy: 'Delete' });
      await reasons('Synced');
      kafka.refuse = (call) => (call === 'deleteTopics' ? new KafkaAdminError(POLICY_VIOLATION, 'keep it') : undefined);
      api.delete('KafScaleTopic', 'orders');
      await reasons('Deleting');
      expect(readyOf('orders')!.message).toContain('POLICY_VIOLATION: keep it');
      api.update('KafScaleTopic', 'orders', ({ metadata }) => {
        metadata!.annotations = { 'kafscale.io/force-delete': 'true' };
      });
      await gone();
      expect(kafka.topicsByName.has('orders')).toBe(true);
      await reported('TopicKept');
    });

    it('goes with a cluster that is gone', async () => {
      addCluster();
      addTopic('orders', { deletionPolicy: 'Delete' });
      await reasons('Synced');
      kafka.isDown = true;
      api.delete('KafScaleTopic', 'orders');
      await reasons('Deleting');
      api.delete('KafScaleCluster', 'shop');
      await gone();
      await reported('TopicKept');
    });

    it('does not take along the topic of an older one', async () => {
      addCluster();
      addTopic('orders');
      await reasons('Synced');
      addTopic(
        'second',
        { topicName: 'orders', deletionPolicy: 'Delete' },
        { finalizers: ['kafscale.io/topic'], creationTimestamp: '2999-01-01T00:00:00Z' },
      );
      await reasons('NameTaken', 'second');
      api.delete('KafScaleTopic', 'second');
      await gone('second');
      expect(kafka.topicsByName.has('orders')).toBe(true);
      expect(kafka.count('deleteTopics')).toBe(0);
    });
  });
});
