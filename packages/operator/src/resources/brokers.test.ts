import { brokerConfigSchema } from '@kafscale/protocol';
import { brokerAutoscaler, clusterLabel } from './broker-autoscaler.ts';
import { brokerEnvironment } from './broker-environment.ts';
import { brokerDeployment, brokerObjects, hashOf, imageName } from './brokers.ts';
import { selectorOf } from './cluster-plan.ts';
import { brokerNetworkPolicy } from './network-policies.ts';
import { planOf, type SpecInput } from './plan-fixture.ts';

const deploymentOf = (spec: Partial<SpecInput> = {}, secretsHash = 'a') =>
  brokerDeployment(planOf(spec), { replicas: 3, secretsHash }).object;
const podOf = (spec: Partial<SpecInput> = {}) => deploymentOf(spec).spec!.template.spec!;

const everyObject = (spec: Partial<SpecInput> = {}) => {
  const plan = planOf(spec);
  const children = [
    ...brokerObjects(plan),
    brokerNetworkPolicy(plan),
    brokerDeployment(plan, { replicas: 1, secretsHash: '' }),
    brokerAutoscaler(plan),
  ];
  return children.filter((child) => child !== undefined);
};

test('every object lies in the namespace of its cluster and says what it is part of', () => {
  for (const { object } of everyObject({
    brokers: { autoscaling: { maxReplicas: 4, targetBytesInPerSecond: '50M' } },
  })) {
    expect(object.metadata.namespace).toBe('shop');
    expect(object.metadata.labels).toMatchObject({ 'app.kubernetes.io/instance': 'kafscale' });
  }
});

test('names are those that users connect to', () => {
  const names = everyObject().map(({ kind, object }) => `${kind.kind}/${object.metadata.name}`);
  expect(names).toContain('Service/kafscale-broker');
  expect(names).toContain('Deployment/kafscale-broker');
});

test('pods fulfil the restricted standard, and write nothing outside /tmp', () => {
  const { securityContext, containers, automountServiceAccountToken } = podOf();
  expect(automountServiceAccountToken).toBe(false);
  expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  for (const container of containers) {
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  }
});

test('a pod has time to drain, and the broker knows how much', () => {
  const spec = { brokers: { drainTimeoutSeconds: 120 } };
  expect(podOf(spec).terminationGracePeriodSeconds).toBeGreaterThanOrEqual(150);
  expect(brokerEnvironment(planOf(spec)).KAFSCALE_SHUTDOWN_TIMEOUT_MS).toBe('120000');
});

test('every variable is one that the broker knows', () => {
  const known = new Set(
    Object.values(brokerConfigSchema.shape).flatMap((type) => {
      const { env } = type.meta() as { env: string | readonly string[] };
      return typeof env === 'string' ? [env] : [...env];
    }),
  );
  const set = brokerEnvironment(
    planOf({
      brokers: { advertisedHost: 'kafka.example.com', advertisedPort: 9092 },
      s3: {
        ...{ bucket: 'records', region: 'eu-west-1', endpoint: 'http://minio:9000', pathStyle: true },
        ...{ readBucket: 'replica', readRegion: 'eu-west-2', readEndpoint: 'http://minio:9001', kmsKeyArn: 'arn' },
      },
      etcd: { endpoints: ['https://etcd:2379'], tlsSecretRef: { name: 'tls' } },
      config: {
        ...{ segmentBytes: 1, flushIntervalMs: 1, flushBytes: 1, cacheSize: 1, readaheadSegments: 1 },
        ...{
          sessionTtlMs: 5_000,
          autoCreateTopics: false,
          autoCreatePartitions: 1,
          s3Concurrency: 1,
          logLevel: 'debug',
        },
      },
    }),
  );
  expect(Object.keys(set).filter((name) => !known.has(name))).toEqual([]);
});

test('brokers of a managed etcd know each member', () => {
  const { KAFSCALE_ETCD_ENDPOINTS: endpoints } = brokerEnvironment(planOf());
  expect(endpoints!.split(',')).toEqual([
    'http://kafscale-etcd-0.kafscale-etcd.shop.svc:2379',
    'http://kafscale-etcd-1.kafscale-etcd.shop.svc:2379',
    'http://kafscale-etcd-2.kafscale-etcd.shop.svc:2379',
  ]);
});

test('a secret can set its own keys and no other variable', () => {
  const { envFrom, env } = podOf({ s3: { bucket: 'records', region: 'x', credentialsSecretRef: { name: 's3' } } })
    .containers[0]!;
  expect(envFrom).toEqual([{ configMapRef: { name: 'kafscale-broker-config' } }]);
  const named = env!.filter(({ valueFrom }) => valueFrom?.secretKeyRef !== undefined).map(({ name }) => name);
  expect(named).toContain('KAFSCALE_S3_ACCESS_KEY');
  expect(named).toContain('AWS_ACCESS_KEY_ID');
});

test('another configuration or another secret replaces the pods, another replica count does not', () => {
  const annotationsOf = (spec: Partial<SpecInput>, hash?: string) =>
    deploymentOf(spec, hash).spec!.template.metadata!.annotations;
  expect(annotationsOf({})).not.toEqual(annotationsOf({ config: { flushIntervalMs: 100 } }));
  expect(annotationsOf({}, 'a')).not.toEqual(annotationsOf({}, 'b'));
  expect(annotationsOf({ brokers: { replicas: 1 } })).toEqual(annotationsOf({ brokers: { replicas: 5 } }));
});

test('the hash does not depend on the order of keys', () => {
  expect(hashOf({ a: '1', b: '2' })).toBe(hashOf({ b: '2', a: '1' }));
});

test("labels of a user's own do not change what pods are selected by", () => {
  const deployment = deploymentOf({ brokers: { podLabels: { 'app.kubernetes.io/name': 'mine', team: 'a' } } });
  expect(deployment.spec!.template.metadata!.labels).toMatchObject({
    team: 'a',
    ...selectorOf({ name: 'kafscale' }, 'broker'),
  });
});

test.each([
  [undefined, 'kafscale/kafscale:0.1.0'],
  [{ tag: '0.2.0' }, 'kafscale/kafscale:0.2.0'],
  [{ repository: 'mirror:5000/kafscale' }, 'mirror:5000/kafscale:0.1.0'],
  [{ digest: `sha256:${'a'.repeat(64)}` }, `kafscale/kafscale@sha256:${'a'.repeat(64)}`],
])('image %j is %s', (image, name) => {
  expect(imageName(image, 'kafscale/kafscale:0.1.0')).toBe(name);
});

test('the autoscaler scales the resource, and takes one broker at a time', () => {
  const { object } = brokerAutoscaler(
    planOf({ brokers: { autoscaling: { minReplicas: 2, maxReplicas: 6, targetBytesInPerSecond: '50M' } } }),
  )!;
  expect(object.spec!.scaleTargetRef).toEqual({
    apiVersion: 'kafscale.io/v1alpha1',
    kind: 'KafScaleCluster',
    name: 'kafscale',
  });
  expect(object.spec!.behavior!.scaleDown!.policies).toEqual([{ type: 'Pods', value: 1, periodSeconds: 60 }]);
  expect(object.spec!.metrics).toEqual([
    {
      type: 'External',
      external: {
        metric: {
          name: 'kafscale_cluster_bytes_in_per_second',
          selector: { matchLabels: { [clusterLabel]: 'kafscale' } },
        },
        target: { type: 'AverageValue', averageValue: '50M' },
      },
    },
  ]);
  expect(brokerAutoscaler(planOf())).toBeUndefined();
});

test('the control port is for the operator alone', () => {
  const { ingress } = brokerNetworkPolicy(planOf()).object.spec!;
  const rules = ingress!.filter(({ ports }) => ports!.some(({ port }) => (port as unknown as number) === 9094));
  expect(rules).toHaveLength(1);
  expect(rules[0]!.from).toEqual([
    {
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kafscale-system' } },
      podSelector: { matchLabels: { 'app.kubernetes.io/name': 'kafscale-operator' } },
    },
  ]);
});
