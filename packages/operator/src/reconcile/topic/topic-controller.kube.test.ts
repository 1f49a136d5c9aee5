/** Topics by `kubectl apply` on a real API server, in a real broker that a client then produces to. */
import { encodeRecordBatch, produce, zeroUuid } from '@kafscale/protocol';
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { ControlPlane, eventually, KafScaleServer, RawClient } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { customResourceDefinitions } from '../../api/crd.ts';
import { KafkaAdmin } from '../../brokers/kafka-admin.ts';
import { createKubeClient, EventRecorder, kubeconfigAccess, type KubeClient } from '../../kube/index.ts';
import { createOperatorMetrics } from '../../metrics/metrics.ts';
import { watchWorld, type WatchedWorld } from '../watched-world.ts';
import { createTopicController, type TopicController } from './topic-controller.ts';

const namespace = 'shop';
const minute = 60_000;
const user = 'kafscale-operator';

/** As docs/internals/operator-rights.md lists them; what is missing there fails here. */
const rbac = 'rbac.authorization.k8s.io';
const rights: readonly object[] = [
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: user } },
    rules: [
      { apiGroups: ['kafscale.io'], resources: ['kafscaletopics'], verbs: ['list', 'watch', 'patch'] },
      { apiGroups: ['kafscale.io'], resources: ['kafscaletopics/status'], verbs: ['patch'] },
      { apiGroups: ['kafscale.io'], resources: ['kafscaleclusters'], verbs: ['list', 'watch'] },
      { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
    ],
  },
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'ClusterRoleBinding', metadata: { name: user } },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: user },
    subjects: [{ kind: 'User', apiGroup: rbac, name: user }],
  },
];

interface TopicObject {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly partitions?: readonly { readonly logEndOffset?: number }[];
    readonly conditions?: readonly { readonly reason: string; readonly message: string }[];
  };
}

describe('topics on a real API server and a real broker', () => {
  let plane: ControlPlane;
  let kafka: KafScaleServer;
  let client: KubeClient;
  let world: WatchedWorld;
  let controller: TopicController;
  let admin: KafkaAdmin;

  const newAdmin = () =>
    new KafkaAdmin({
      bootstrap: [{ host: '127.0.0.1', port: kafka.port }],
      ...{ clock: systemClock, random: seededRandom(2) },
    });
  const topic = (name: string, spec: object = {}) => ({
    ...{ apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleTopic', metadata: { name, namespace } },
    spec: { clusterRef: 'kafscale', ...spec },
  });
  const find = (name: string) => plane.kubectl.find<TopicObject>('kafscaletopic', name, namespace);
  const reason = (name: string, wanted: string) =>
    eventually(
      `${name} is ${wanted}`,
      async () => (await find(name))?.status?.conditions?.[0]?.reason === wanted,
      minute,
      200,
    );

  beforeAll(async () => {
    [plane, kafka] = await Promise.all([ControlPlane.start(), KafScaleServer.start()]);
    const { kubectl } = plane;
    await kubectl.apply([...customResourceDefinitions(), ...rights]);
    await kubectl.run(['create', 'namespace', namespace]);
    for (const plural of ['kafscaleclusters', 'kafscaletopics']) {
      await kubectl.wait(`crd/${plural}.kafscale.io`, 'condition=Established');
    }
    const access = await kubeconfigAccess(await readFile(await plane.kubeconfigFor({ name: user }), 'utf8'));
    client = createKubeClient({ access, clock: systemClock });
    const common = { client, clock: systemClock, random: seededRandom(1), logger: silentLogger };
    world = watchWorld(common);
    world.topics.start();
    world.clusters.start();
    const events = new EventRecorder({ ...common, controller: 'kafscale.io/operator', instance: 'test' });
    controller = createTopicController({
      ...{ ...common, world, events, metrics: createOperatorMetrics(), lookEveryMs: 1_000 },
      figures: { everyMs: 1_000 },
      adminOf: newAdmin,
    });
    await controller.start();
    admin = newAdmin();
  }, 10 * minute);

  afterAll(async () => {
    admin.close();
    await controller.stop();
    await Promise.all([world.topics.stop(), world.clusters.stop()]);
    await client.close();
    await Promise.all([kafka.close(), plane.close()]);
  });

  it(
    'wait for their cluster, and are there to be produced to when it is ready',
    async () => {
      const { kubectl } = plane;
      await kubectl.apply([topic('orders', { partitions: 2, retentionMs: 60_000 })]);
      await reason('orders', 'ClusterNotFound');
      await kubectl.apply([
        {
          ...{ apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleCluster', metadata: { name: 'kafscale', namespace } },
          spec: { s3: { bucket: 'records', region: 'eu-west-1' } },
        },
      ]);
      await reason('orders', 'ClusterNotReady');
      const ready = JSON.stringify({ status: { brokers: { ready: 1 } } });
      const where = ['-n', namespace, '--subresource=status', '--type=merge', '-p', ready];
      await kubectl.run(['patch', 'kafscalecluster', 'kafscale', ...where]);
      await reason('orders', 'Synced');

      const raw = await RawClient.connect({ port: kafka.port });
      const records = encodeRecordBatch({ records: [{ value: 'one' }, { value: 'two' }] });
      const answer = await raw.request(produce, 9, {
        ...{ transactionalId: null, acks: -1, timeoutMs: 10_000 },
        topicData: [{ name: 'orders', topicId: zeroUuid, partitionData: [{ index: 1, records }] }],
      });
      await raw.close();
      expect(answer.responses[0]?.partitionResponses[0]).toMatchObject({ index: 1, errorCode: 0 });
      await eventually(
        'the status tells how far it goes',
        async () => (await find('orders'))?.status?.partitions?.[1]?.logEndOffset === 2,
        minute,
        200,
      );
    },
    3 * minute,
  );

  it(
    'are set back, refused in the words of the broker, and deleted with their resource',
    async () => {
      const { kubectl } = plane;
      await admin.alterConfigs([{ name: 'orders', set: { 'retention.ms': '5' } }]);
      const retention = async () =>
        (await admin.configs(['orders'])).get('orders')?.find(({ name }) => name === 'retention.ms')?.value;
      await eventually('it is set back', async () => (await retention()) === '60000', minute, 200);

      await kubectl.apply([topic('odd', { config: { 'no.such.setting': '1' } })]);
      await reason('odd', 'Refused');
      expect((await find('odd'))!.status!.conditions![0]!.message).toContain(
        'INVALID_CONFIG: Unknown topic config name: no.such.setting',
      );

      await kubectl.apply([topic('gone', { deletionPolicy: 'Delete' })]);
      await reason('gone', 'Synced');
      await kubectl.run(['delete', 'kafscaletopic', 'gone', 'orders', '-n', namespace, '--timeout=60s']);
      expect((await admin.topics(['gone', 'orders'])).map(({ name }) => name)).toEqual(['orders']);
      const told = async () => {
        const events = await kubectl.list<{ readonly reason: string }>('events.events.k8s.io', namespace);
        const reasons = new Set(events.map((event) => event.reason));
        return ['Created', 'ConfigChanged', 'Refused', 'Deleted'].every((one) => reasons.has(one));
      };
      await eventually('events tell of it', told, minute, 200);
    },
    3 * minute,
  );

  it(
    'are ready by the hundreds',
    async () => {
      const count = 200;
      const many = Array.from({ length: count }, (_, index) =>
        topic(`many-${index}`, { partitions: 3, retentionMs: 1_000 }),
      );
      const startedMs = performance.now();
      await plane.kubectl.apply(many);
      const appliedMs = performance.now() - startedMs;
      const isReady = async () => {
        const topics = await plane.kubectl.list<TopicObject>('kafscaletopics', namespace);
        const ready = topics.filter(({ metadata, status }) => {
          return metadata.name.startsWith('many-') && status?.conditions?.[0]?.reason === 'Synced';
        });
        return ready.length === count;
      };
      await eventually('all are ready', isReady, 5 * minute, 500);
      const totalMs = performance.now() - startedMs;
      const seconds = (ms: number) => (ms / 1_000).toFixed(1);
      process.stdout.write(
        `${count} topics: applied in ${seconds(appliedMs)} s, all ready after ${seconds(totalMs)} s\n`,
      );
      expect((await admin.topics()).filter(({ name }) => name.startsWith('many-'))).toHaveLength(count);
    },
    8 * minute,
  );
});
