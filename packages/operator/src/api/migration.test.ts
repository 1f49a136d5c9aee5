import { migrateManifest } from './migration.ts';

const cluster = (spec: Record<string, unknown>) => ({
  apiVersion: 'kafscale.io/v1alpha1',
  kind: 'KafscaleCluster',
  metadata: { name: 'demo', labels: { team: 'a' } },
  spec: { s3: { bucket: 'kafscale-demo', region: 'us-east-1' }, ...spec },
});

test('a cluster gets our kind and a secret that is named by an object, and nothing else changes', () => {
  const s3 = { bucket: 'kafscale-demo', region: 'us-east-1', credentialsSecretRef: 'kafscale-s3' };
  const migrated = migrateManifest(cluster({ s3, brokers: { replicas: 3 }, etcd: { endpoints: [] } }))!;
  expect(migrated).toEqual({
    manifest: {
      apiVersion: 'kafscale.io/v1alpha1',
      kind: 'KafScaleCluster',
      metadata: { name: 'demo', labels: { team: 'a' } },
      spec: {
        s3: { ...s3, credentialsSecretRef: { name: 'kafscale-s3' } },
        brokers: { replicas: 3 },
        etcd: { endpoints: [] },
      },
    },
    notes: [],
    faults: [],
  });
});

test('what nothing serves here is left out, and said', () => {
  const { manifest, notes, faults } = migrateManifest(
    cluster({
      lfsProxy: { enabled: true },
      config: { segmentBytes: 1_048_576, ui: { enabled: true } },
      etcd: { useKubeEtcd: true },
      brokers: { image: { repository: 'x' }, advertisedPort: 9092 },
    }),
  )!;
  expect(manifest['spec']).toEqual({
    s3: { bucket: 'kafscale-demo', region: 'us-east-1' },
    config: { segmentBytes: 1_048_576 },
    etcd: {},
    brokers: {},
  });
  expect(notes.map((note) => note.split(':')[0])).toEqual([
    'spec.lfsProxy',
    'spec.config.ui',
    'spec.etcd.useKubeEtcd',
    'spec.brokers.image',
    'spec.brokers.advertisedPort',
  ]);
  expect(faults).toEqual([]);
});

test('an endpoint without a scheme gets one', () => {
  const { manifest } = migrateManifest(cluster({ s3: { bucket: 'abc', region: 'x', endpoint: 'minio:9000' } }))!;
  expect(manifest['spec']).toMatchObject({ s3: { endpoint: 'http://minio:9000' } });
});

test('what has to be changed by hand is named', () => {
  const { faults } = migrateManifest(cluster({ brokers: { replicas: -1 } }))!;
  expect(faults).toEqual([expect.stringContaining('spec.brokers.replicas')]);
});

test('a topic keeps its name, cluster and configs, as text', () => {
  const topic = {
    apiVersion: 'kafscale.novatechflow.io/v1alpha1',
    kind: 'KafscaleTopic',
    metadata: { name: 'orders' },
    spec: { clusterRef: 'demo', partitions: 3, config: { 'retention.ms': 86_400_000 } },
  };
  expect(migrateManifest(topic)!.manifest).toEqual({
    ...topic,
    apiVersion: 'kafscale.io/v1alpha1',
    kind: 'KafScaleTopic',
    spec: { clusterRef: 'demo', partitions: 3, config: { 'retention.ms': '86400000' } },
  });
});

test.each([
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } },
  { apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleCluster', spec: {} },
  {},
])('%j is none of theirs', (manifest) => {
  expect(migrateManifest(manifest)).toBeUndefined();
});
