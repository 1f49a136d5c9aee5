/** An autoscaler of a real Kubernetes that scales a KafScaleCluster by what brokers report, with the rights that are written down and no others. */
import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { ControlPlane, eventually } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { customResourceDefinitions } from '../api/crd.ts';
import { LoadReporter } from '../brokers/load-reporter-fixture.ts';
import { LoadReports } from '../brokers/load-reports.ts';
import { MetricsServer } from '../brokers/metrics-server.ts';
import { createKubeClient, kubeconfigAccess, type KubeClient } from '../kube/index.ts';
import { createOperatorMetrics } from '../metrics/metrics.ts';
import { brokerAutoscaler } from '../resources/broker-autoscaler.ts';
import { planOf } from '../resources/plan-fixture.ts';
import { createExternalMetrics, type ExternalMetrics } from './external-metrics.ts';

const namespace = 'shop';
const operatorNamespace = 'kafscale-system';
const service = { namespace: operatorNamespace, name: 'kafscale-operator-metrics' };
const secret = { namespace: operatorNamespace, name: 'kafscale-operator-metrics-tls' };
const user = 'kafscale-operator';
const group = 'external.metrics.k8s.io';
const entry = `v1beta1.${group}`;
const minute = 60_000;

/** As docs/internals/operator-rights.md lists them. */
const rbac = 'rbac.authorization.k8s.io';
const subjects = [{ kind: 'User', apiGroup: rbac, name: user }];
const binding = (kind: 'Role' | 'ClusterRole', name: string) => ({ apiGroup: rbac, kind, name });
const rights: readonly object[] = [
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'Role', metadata: { name: user, namespace: operatorNamespace } },
    rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [secret.name], verbs: ['get', 'patch'] }],
  },
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'RoleBinding', metadata: { name: user, namespace: operatorNamespace } },
    ...{ roleRef: binding('Role', user), subjects },
  },
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'RoleBinding', metadata: { name: user, namespace: 'kube-system' } },
    ...{ roleRef: binding('Role', 'extension-apiserver-authentication-reader'), subjects },
  },
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: { name: user } },
    rules: [
      {
        apiGroups: ['apiregistration.k8s.io'],
        resources: ['apiservices'],
        resourceNames: [entry],
        verbs: ['get', 'patch'],
      },
    ],
  },
  {
    ...{ apiVersion: `${rbac}/v1`, kind: 'ClusterRoleBinding', metadata: { name: user } },
    ...{ roleRef: binding('ClusterRole', user), subjects },
  },
];

describe('autoscaling by what brokers report', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  let reports: LoadReports;
  let metricsServer: MetricsServer;
  let serving: ExternalMetrics;
  let reporter: LoadReporter;
  let isOver = false;
  const loops: Promise<void>[] = [];

  const cluster = async () =>
    plane.kubectl.get<{ spec: { brokers: { replicas: number } } }>('kafscalecluster', 'kafscale', namespace);
  const replicas = async () => (await cluster()).spec.brokers.replicas;

  beforeAll(async () => {
    // A Service cannot lead to this machine's own address, but a name can.
    plane = await ControlPlane.start({ controllers: true, apiServerFlags: ['--enable-aggregator-routing=false'] });
    const { kubectl } = plane;
    await kubectl.apply(customResourceDefinitions());
    for (const name of [namespace, operatorNamespace]) await kubectl.run(['create', 'namespace', name]);
    await kubectl.wait('crd/kafscaleclusters.kafscale.io', 'condition=Established');
    await kubectl.apply([
      ...rights,
      { apiVersion: 'v1', kind: 'Secret', metadata: secret },
      {
        ...{ apiVersion: 'v1', kind: 'Service', metadata: service },
        spec: { type: 'ExternalName', externalName: 'localhost' },
      },
    ]);
    const kubeconfig = await readFile(await plane.kubeconfigFor({ name: user }), 'utf8');
    client = createKubeClient({ access: await kubeconfigAccess(kubeconfig), clock: systemClock });
    reports = new LoadReports(systemClock);
    const common = { clock: systemClock, logger: silentLogger };
    metricsServer = await MetricsServer.start({
      ...{ ...common, address: '127.0.0.1:0', reports },
      clusterOf: (token) => Promise.resolve(token === 'secret' ? `${namespace}/kafscale` : undefined),
    });
    serving = createExternalMetrics({
      ...{ ...common, client, reports, random: seededRandom(1), metrics: createOperatorMetrics(), service, secret },
      ...{ listen: { host: '127.0.0.1', port: 0 }, lookEveryMs: 500 },
      readyBrokers: () => 1,
      clustersIn: (at) => (at === namespace ? ['kafscale'] : []),
    });
    await serving.start();
    await eventually('the metrics API listens', () => serving.port > 0, minute, 50);
    await kubectl.apply([
      {
        ...{ apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', metadata: { name: entry } },
        spec: {
          ...{ group, version: 'v1beta1', groupPriorityMinimum: 100, versionPriority: 100 },
          service: { ...service, port: serving.port },
        },
      },
    ]);
  }, 10 * minute);

  afterAll(async () => {
    isOver = true;
    await Promise.allSettled(loops);
    reporter.close();
    await serving.stop();
    await metricsServer.close();
    await client.close();
    await plane.close();
  });

  it(
    'is offered by the API server, with a certificate that the operator keeps',
    async () => {
      await plane.kubectl.wait(`apiservice/${entry}`, 'condition=Available', undefined, 60);
      const listed = await plane.kubectl.run(['get', '--raw', `/apis/${group}/v1beta1`]);
      expect(JSON.parse(listed)).toMatchObject({ kind: 'APIResourceList' });
    },
    2 * minute,
  );

  it(
    'says why there is no value while no broker reports',
    async () => {
      const path = `/apis/${group}/v1beta1/namespaces/${namespace}/kafscale_cluster_bytes_in_per_second`;
      await plane.kubectl.apply([
        {
          ...{ apiVersion: 'kafscale.io/v1alpha1', kind: 'KafScaleCluster', metadata: { name: 'kafscale', namespace } },
          spec: { brokers: { replicas: 1 }, s3: { bucket: 'records', region: 'eu-west-1' } },
        },
      ]);
      await expect(plane.kubectl.run(['get', '--raw', path])).rejects.toThrow('0 of 1 ready brokers');
    },
    2 * minute,
  );

  it(
    'scales the resource up under load, and down without',
    async () => {
      let perSecond = 1_000;
      reporter = new LoadReporter({ port: metricsServer.port, token: 'secret', brokerId: 0 });
      const { kubectl } = plane;
      // What the cluster's own reconciler does: brokers follow what is wanted.
      loops.push(
        (async () => {
          let produced = 0;
          while (!isOver) {
            produced += perSecond / 2;
            reporter.report({ kafscale_produced_bytes_total: produced });
            const wanted = await replicas();
            const status = {
              brokers: { replicas: wanted, ready: wanted, selector: 'app.kubernetes.io/name=kafscale' },
            };
            const patch = JSON.stringify({ status });
            const where = ['-n', namespace, '--subresource=status', '--type=merge', '-p', patch];
            await kubectl.run(['patch', 'kafscalecluster', 'kafscale', ...where]).catch(() => undefined);
            await new Promise((resolve) => setTimeout(resolve, 500));
          }
        })(),
      );
      const autoscaling = {
        ...{ minReplicas: 1, maxReplicas: 3, targetBytesInPerSecond: '100' },
        ...{ scaleDownStabilizationSeconds: 0, scaleDownPeriodSeconds: 1 },
      };
      const autoscaler = brokerAutoscaler(planOf({ brokers: { replicas: 1, autoscaling } }))!;
      const { apiVersion, kind } = autoscaler.kind;
      await kubectl.apply([{ ...autoscaler.object, apiVersion, kind }]);
      try {
        await eventually('there are three', async () => (await replicas()) === 3, 3 * minute, 1_000);
        perSecond = 1;
        await eventually('there is one', async () => (await replicas()) === 1, 3 * minute, 1_000);
      } catch (error) {
        const described = await kubectl.run(['describe', 'hpa', '-n', namespace]);
        throw new Error(`${(error as Error).message}\n${described}`, { cause: error });
      }
    },
    8 * minute,
  );
});
