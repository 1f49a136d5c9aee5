import { managedEtcdOf } from '../api/cluster.ts';
import type { MemberPlan } from '../etcd/member-plan.ts';
import type { CronJob, StatefulSet } from '../kube/index.ts';
import { etcdEndpoints } from './broker-environment.ts';
import { etcdSnapshotCronJob } from './etcd-snapshots.ts';
import { etcdObjects, memberPlanIn } from './etcd.ts';
import { planOf, type SpecInput } from './plan-fixture.ts';
import { addressesOf } from '../etcd/member-plan.ts';

const members: MemberPlan = {
  ...{ name: 'kafscale-etcd', domain: 'kafscale-etcd.shop.svc', members: 3, life: 1, token: 'uid-1' },
  ...{ isInitialized: false, quotaBackendBytes: 1_000, autoCompactionRetention: '5m' },
};

function objectsOf(spec: Partial<SpecInput> = {}, change: Partial<MemberPlan> = {}, storageSize?: string) {
  const plan = planOf(spec);
  const etcd = managedEtcdOf(plan.spec)!;
  const children = etcdObjects(plan, { etcd, members: { ...members, ...change }, replicas: 3, storageSize });
  const find = (kind: string) => children.find((child) => child.kind.kind === kind)!.object;
  return { plan, etcd, children, find, statefulSet: find('StatefulSet') as StatefulSet };
}

const podOf = (spec: Partial<SpecInput> = {}) => objectsOf(spec).statefulSet.spec!.template.spec!;

test('pods fulfil the restricted standard and have no token', () => {
  const { plan, etcd } = objectsOf();
  const cronJob = etcdSnapshotCronJob(plan, etcd).object as CronJob;
  for (const pod of [podOf(), cronJob.spec!.jobTemplate.spec!.template.spec!]) {
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
      expect(container.securityContext).toEqual({
        ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      });
      expect(container.resources?.requests).toBeDefined();
    }
  }
});

test('members start together, and their volumes outlive everything', () => {
  const { spec } = objectsOf().statefulSet;
  expect(spec).toMatchObject({
    ...{ podManagementPolicy: 'Parallel', serviceName: 'kafscale-etcd' },
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
  });
});

test('members find one another where brokers find them, ready or not', () => {
  const { find, plan } = objectsOf();
  expect(etcdEndpoints(plan)).toEqual([0, 1, 2].map((ordinal) => addressesOf(members).client(ordinal)));
  expect(find('Service')).toMatchObject({ spec: { clusterIP: 'None', publishNotReadyAddresses: true } });
});

test('a full etcd is alive and ready, a member without a quorum is alive and not ready', () => {
  const [{ livenessProbe, readinessProbe }] = podOf().containers as [ReturnType<typeof podOf>['containers'][number]];
  expect(livenessProbe!.httpGet!.path).toContain('serializable=true');
  expect(readinessProbe!.httpGet!.path).not.toContain('serializable');
  for (const probe of [livenessProbe, readinessProbe]) {
    expect(probe!.httpGet).toMatchObject({ port: 2381, path: expect.stringContaining('exclude=NOSPACE') as string });
  }
});

test.each([
  [1, 0],
  [3, 2],
  [5, 3],
])('of %i members %i stay when nodes are emptied', (count, minAvailable) => {
  expect(objectsOf({}, { members: count }).find('PodDisruptionBudget')).toMatchObject({ spec: { minAvailable } });
});

test('volumes in memory need no claim, and claims that are there are not asked to change', () => {
  const inMemory = objectsOf({ etcd: { managed: { storage: { medium: 'Memory', size: '1Gi' } } } }).statefulSet.spec!;
  expect(inMemory.volumeClaimTemplates).toBeUndefined();
  expect(inMemory.template.spec!.volumes).toContainEqual({
    name: 'data',
    emptyDir: { medium: 'Memory', sizeLimit: '1Gi' },
  });
  const claim = objectsOf({ etcd: { managed: { storage: { size: '20Gi' } } } }, {}, '10Gi').statefulSet.spec!;
  expect(claim.volumeClaimTemplates![0]!.spec!.resources!.requests).toEqual({ storage: '10Gi' });
});

test('members read how to start from their plan, whose first setting rolls no pod', () => {
  const template = (change: Partial<MemberPlan>) => objectsOf({}, change).statefulSet.spec!.template;
  expect(memberPlanIn(objectsOf().find('ConfigMap') as never)).toEqual(members);
  expect(template({ isInitialized: true, restoreFrom: 'x', life: 2 })).toEqual(template({}));
  expect(template({ quotaBackendBytes: 2_000 })).not.toEqual(template({}));
});

test('snapshots know every member, the bucket and its credentials, and nothing of a read replica', () => {
  const s3 = { bucket: 'records', region: 'x', readBucket: 'replica', credentialsSecretRef: { name: 's3' } };
  const { plan, etcd } = objectsOf({ s3 });
  const { schedule, jobTemplate } = (etcdSnapshotCronJob(plan, etcd).object as CronJob).spec!;
  const [{ args, env }] = jobTemplate.spec!.template.spec!.containers as unknown as [
    { args: string[]; env: { name: string; value?: string }[] },
  ];
  expect(schedule).toBe('0 * * * *');
  expect(args).toEqual(expect.arrayContaining(['etcd-snapshot', etcdEndpoints(plan).join(','), 'shop.kafscale', '48']));
  expect(env).toContainEqual({ name: 'KAFSCALE_S3_BUCKET', value: 'records' });
  expect(env.map(({ name }) => name)).toContain('KAFSCALE_S3_SECRET_KEY');
  expect(env.filter(({ name }) => name.includes('READ'))).toEqual([]);
});
