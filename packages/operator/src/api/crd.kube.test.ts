/** The definitions against a real API server: what it takes, what it refuses, and with which sentence. */
import { jest } from '@jest/globals';
import { ControlPlane, type Kubectl } from '@kafscale/testkit';
import { apiVersion, clusterKind, customResourceDefinitions, topicKind } from './crd.ts';

// Kubernetes is built here when it was not before.
jest.setTimeout(90 * 60_000);

type Manifest = Readonly<Record<string, unknown>>;

const s3 = { bucket: 'records', region: 'eu-west-1' };
const cluster = (spec: Manifest, name = 'c'): object => ({
  apiVersion,
  kind: clusterKind.kind,
  metadata: { name, namespace: 'default' },
  spec,
});
const topic = (spec: Manifest, name = 't'): object => ({
  apiVersion,
  kind: topicKind.kind,
  metadata: { name, namespace: 'default' },
  spec,
});

let controlPlane: ControlPlane;
let kubectl: Kubectl;
beforeAll(async () => {
  controlPlane = await ControlPlane.start();
  ({ kubectl } = controlPlane);
  await kubectl.apply(customResourceDefinitions());
  for (const { plural } of [clusterKind, topicKind]) {
    await kubectl.run(['wait', '--for=condition=Established', `crd/${plural}.kafscale.io`, '--timeout=30s']);
  }
});
afterAll(() => controlPlane.close());

test('the definitions have no fault that the API server would report', async () => {
  const { status } = (await kubectl.get('crd', `${clusterKind.plural}.kafscale.io`)) as unknown as {
    status: { conditions: { type: string; status: string; message: string }[] };
  };
  const faults = status.conditions.filter(
    ({ type, status: value }) => type === 'NonStructuralSchema' && value === 'True',
  );
  expect(faults).toEqual([]);
});

test('a cluster of a bucket and a region gets the defaults', async () => {
  await kubectl.apply([cluster({ s3 }, 'small')]);
  const stored = await kubectl.get(clusterKind.plural, 'small', 'default');
  expect(stored['spec']).toMatchObject({
    brokers: { replicas: 3, drainTimeoutSeconds: 60, service: { type: 'ClusterIP' } },
    etcd: { endpoints: [] },
  });
});

test('kubectl scale changes the number of brokers, to zero as well', async () => {
  await kubectl.apply([cluster({ s3 }, 'scaled')]);
  await kubectl.run(['scale', '-n', 'default', 'kfs/scaled', '--replicas=0']);
  expect(await kubectl.get(clusterKind.plural, 'scaled', 'default')).toMatchObject({
    spec: { brokers: { replicas: 0 } },
  });
});

const autoscaling = { maxReplicas: 4, targetBytesInPerSecond: '50M' };

describe('is refused with a sentence', () => {
  test.each<[string, Manifest, RegExp]>([
    ['no bucket', { s3: { region: 'x' } }, /missing required field "bucket"/],
    ['a negative number', { s3, brokers: { replicas: -1 } }, /spec\.brokers\.replicas.*greater than or equal to 0/],
    ['no target', { s3, brokers: { autoscaling: { maxReplicas: 4 } } }, /autoscaling needs a target/],
    [
      'less at most than at least',
      { s3, brokers: { autoscaling: { ...autoscaling, minReplicas: 5 } } },
      /maxReplicas must not be lower than minReplicas/,
    ],
    ['a port of no host', { s3, brokers: { advertisedPort: 9092 } }, /advertisedPort needs advertisedHost/],
    ['a node port of no node', { s3, brokers: { service: { kafkaNodePort: 30_092 } } }, /need type NodePort/],
    ['a region of no replica', { s3: { ...s3, readRegion: 'y' } }, /readRegion and readEndpoint need readBucket/],
    ['two etcds', { s3, etcd: { endpoints: ['http://e:2379'], managed: {} } }, /set either endpoints or managed/],
    ['an even number of members', { s3, etcd: { managed: { replicas: 2 } } }, /odd number of members/],
    ['a user of an etcd of its own', { s3, etcd: { credentialsSecretRef: { name: 's' } } }, /are for endpoints/],
    ['no quantity', { s3, etcd: { managed: { storage: { size: 'much' } } } }, /spec\.etcd\.managed\.storage\.size/],
    ['no address', { s3: { ...s3, endpoint: 'minio:9000' } }, /spec\.s3\.endpoint/],
  ])('a cluster with %s', async (_, spec, sentence) => {
    await expect(kubectl.apply([cluster(spec)])).rejects.toThrow(sentence);
  });

  test('a cluster with a name of which no other names can be made', async () => {
    await expect(kubectl.apply([cluster({ s3 }, 'a'.repeat(41))])).rejects.toThrow(/at most 40 characters and no dot/);
    await expect(kubectl.apply([cluster({ s3 }, 'a.b')])).rejects.toThrow(/at most 40 characters and no dot/);
  });

  test('a field that nothing serves', async () => {
    await expect(kubectl.apply([cluster({ s3, lfsProxy: { enabled: true } })])).rejects.toThrow(
      /unknown field.*lfsProxy/,
    );
  });

  test.each<[string, Manifest, Manifest, RegExp]>([
    ['another bucket', { s3 }, { s3: { ...s3, bucket: 'other' } }, /bucket holds the records/],
    ['an etcd of its own', { s3, etcd: { endpoints: ['http://e:2379'] } }, { s3 }, /cannot move between/],
    [
      'a smaller disk',
      { s3, etcd: { managed: { storage: { size: '10Gi' } } } },
      { s3, etcd: { managed: { storage: { size: '9Gi' } } } },
      /storage cannot shrink/,
    ],
  ])('a cluster that is to get %s', async (what, before, after, sentence) => {
    const name = what.replaceAll(' ', '-');
    await kubectl.apply([cluster(before, name)]);
    await expect(kubectl.apply([cluster(after, name)])).rejects.toThrow(sentence);
  });

  test.each<[string, Manifest, Manifest, RegExp]>([
    ['fewer partitions', { clusterRef: 'c', partitions: 6 }, { clusterRef: 'c', partitions: 3 }, /only be added/],
    ['another cluster', { clusterRef: 'c' }, { clusterRef: 'd' }, /cluster of a topic cannot be changed/],
    ['another name', { clusterRef: 'c' }, { clusterRef: 'c', topicName: 'x' }, /name of a topic cannot be changed/],
    [
      'two retentions',
      { clusterRef: 'c' },
      { clusterRef: 'c', retentionMs: 1, config: { 'retention.ms': '2' } },
      /set either retentionMs or retention\.ms/,
    ],
  ])('a topic that is to get %s', async (what, before, after, sentence) => {
    const name = what.replaceAll(' ', '-');
    await kubectl.apply([topic(before, name)]);
    await expect(kubectl.apply([topic(after, name)])).rejects.toThrow(sentence);
  });
});

test("a topic keeps Kafka's own spelling of a config", async () => {
  await kubectl.apply([topic({ clusterRef: 'c', config: { 'retention.ms': '86400000' } }, 'spelled')]);
  expect(await kubectl.get(topicKind.plural, 'spelled', 'default')).toMatchObject({
    spec: { partitions: 1, config: { 'retention.ms': '86400000' }, deletionPolicy: 'Retain' },
  });
});

test('columns show what a person looks for', async () => {
  await kubectl.apply([topic({ clusterRef: 'c' }, 'shown')]);
  expect(await kubectl.run(['get', 'kft', '-n', 'default'])).toMatch(
    /NAME\s+CLUSTER\s+PARTITIONS\s+READY\s+REASON\s+AGE/,
  );
  expect(await kubectl.run(['get', 'kfs', '-n', 'default'])).toMatch(
    /NAME\s+READY\s+DESIRED\s+CURRENT\s+DRAINING\s+ETCD/,
  );
});
