/**
 * The objects of a managed etcd. Pure: from the plan and what was decided about its members. Its image has no shell: a program of ours
 * prepares each member's volume and writes its configuration (`kafscale etcd-prepare`), so pods differ in nothing but their names.
 */
import type { ManagedEtcdSpec } from '../api/cluster.ts';
import { memberPaths, type MemberPlan } from '../etcd/member-plan.ts';
import { kinds, type Child, type ConfigMap, type StatefulSet } from '../kube/index.ts';
import { fromS3, s3Credentials } from './broker-environment.ts';
import { brokerImage, hashOf, imageName } from './brokers.ts';
import { childOf, labelsOf, namesOf, ports, selectorOf, type ClusterPlan } from './cluster-plan.ts';
import { etcdNetworkPolicy } from './network-policies.ts';
import { containerSecurityContext, podSecurityContext } from './pod-security.ts';

const component = 'etcd' as const;

/** Of the image, and of what prepares volumes for it. */
const user = 1000;
/** Until the lead has moved and everything is on the disk. */
const graceSeconds = 30;
/** etcd replays its log before it answers: long with a large database on a slow disk. */
const startupFailures = 120;
const defaultResources = { requests: { cpu: '200m', memory: '512Mi' }, limits: { memory: '2Gi' } };
const volumeFolder = '/data';
export const memberPlanPath = '/etc/kafscale/etcd/plan.json';
const planFile = 'plan.json';

export interface EtcdObjects {
  readonly etcd: ManagedEtcdSpec;
  readonly members: MemberPlan;
  /** Pods; 0 while it is stopped. */
  readonly replicas: number;
  /** Of the claims of the StatefulSet that is there: they cannot be changed. */
  readonly storageSize?: string | undefined;
}

/** All of them but the snapshots'. The plan comes before the members that read it. */
export function etcdObjects(plan: ClusterPlan, objects: EtcdObjects): readonly Child[] {
  return [
    etcdServiceAccount(plan),
    etcdNetworkPolicy(plan),
    etcdService(plan),
    etcdClientService(plan),
    etcdDisruptionBudget(plan, objects.members.members),
    etcdMemberPlan(plan, objects.members),
    etcdStatefulSet(plan, objects),
  ];
}

/** Shared with snapshots: both read or write them in the bucket, with the identity that brokers have. */
export function etcdServiceAccount(plan: ClusterPlan): Child {
  const annotations = plan.spec.brokers.serviceAccountAnnotations;
  return childOf(plan, kinds.ServiceAccount, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcd, ...(annotations && { annotations }) },
      automountServiceAccountToken: false,
    },
  });
}

export const memberPlanName = (plan: Pick<ClusterPlan, 'name'>): string => `${namesOf(plan.name).etcd}-members`;

/** What members are told before they start; it is also what an operator that comes later goes on with. */
export function etcdMemberPlan(plan: ClusterPlan, members: MemberPlan): Child<ConfigMap> {
  const data = { [planFile]: `${JSON.stringify(members, undefined, 2)}\n` };
  return childOf(plan, kinds.ConfigMap, { component, object: { metadata: { name: memberPlanName(plan) }, data } });
}

export const memberPlanIn = (configMap: Pick<ConfigMap, 'data'>): unknown => {
  try {
    return JSON.parse(configMap.data?.[planFile] ?? '');
  } catch {
    return undefined;
  }
};

const servicePort = (name: string, port: number) => ({ name, port, targetPort: port, protocol: 'TCP' });

/** Gives each member its name, also before it is ready: members find one another by it. */
function etcdService(plan: ClusterPlan): Child {
  return childOf(plan, kinds.Service, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcd },
      spec: {
        type: 'ClusterIP',
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: selectorOf(plan, component),
        ports: [
          servicePort('client', ports.etcdClient),
          servicePort('peer', ports.etcdPeer),
          servicePort('metrics', ports.etcdMetrics),
        ],
      },
    },
  });
}

/** One address for people and tools; brokers know the members themselves. */
function etcdClientService(plan: ClusterPlan): Child {
  return childOf(plan, kinds.Service, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcdClient },
      spec: {
        type: 'ClusterIP',
        selector: selectorOf(plan, component),
        ports: [servicePort('client', ports.etcdClient)],
      },
    },
  });
}

export const quorumOf = (members: number): number => Math.floor(members / 2) + 1;

/** A quorum stays; a single member would keep a node from being emptied for ever, so it may go and come back. */
function etcdDisruptionBudget(plan: ClusterPlan, members: number): Child {
  return childOf(plan, kinds.PodDisruptionBudget, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcd },
      spec: {
        minAvailable: members === 1 ? 0 : quorumOf(members),
        selector: { matchLabels: selectorOf(plan, component) },
        // A member that is not ready may be the one whose data the next quorum needs.
        unhealthyPodEvictionPolicy: 'IfHealthyBudget',
      },
    },
  });
}

function etcdStatefulSet(plan: ClusterPlan, objects: EtcdObjects): Child<StatefulSet> {
  const { etcd, members, replicas, storageSize } = objects;
  const { storage } = etcd;
  const settings = { quota: String(members.quotaBackendBytes), retention: members.autoCompactionRetention };
  return childOf(plan, kinds.StatefulSet, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcd },
      spec: {
        replicas,
        serviceName: namesOf(plan.name).etcd,
        podManagementPolicy: 'Parallel',
        minReadySeconds: 5,
        revisionHistoryLimit: 5,
        updateStrategy: { type: 'RollingUpdate' },
        selector: { matchLabels: selectorOf(plan, component) },
        // Volumes are never deleted by us, whatever becomes of the resource.
        persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
        template: {
          metadata: { labels: labelsOf(plan, component), annotations: { 'kafscale.io/config-hash': hashOf(settings) } },
          spec: podSpec(plan, etcd),
        },
        ...(storage.medium === 'Disk' && {
          volumeClaimTemplates: [
            {
              apiVersion: 'v1',
              kind: 'PersistentVolumeClaim',
              metadata: { name: 'data' },
              spec: {
                accessModes: ['ReadWriteOnce'],
                volumeMode: 'Filesystem',
                resources: { requests: { storage: storageSize ?? storage.size } },
                ...(storage.storageClassName && { storageClassName: storage.storageClassName }),
              },
            },
          ],
        }),
      },
    },
  });
}

type PodSpec = NonNullable<NonNullable<StatefulSet['spec']>['template']['spec']>;

function podSpec(plan: ClusterPlan, etcd: ManagedEtcdSpec): PodSpec {
  const { storage } = etcd;
  const pullSecrets = [...(etcd.image?.pullSecrets ?? []), ...(plan.spec.brokers.image?.pullSecrets ?? [])];
  return {
    serviceAccountName: namesOf(plan.name).etcd,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: { ...podSecurityContext, runAsUser: user, runAsGroup: user, fsGroup: user },
    terminationGracePeriodSeconds: graceSeconds,
    ...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets }),
    affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: apart(plan) } },
    initContainers: [prepareContainer(plan)],
    containers: [etcdContainer(plan, etcd)],
    volumes: [
      { name: 'plan', configMap: { name: memberPlanName(plan) } },
      { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
      ...(storage.medium === 'Memory'
        ? [{ name: 'data', emptyDir: { medium: 'Memory', sizeLimit: storage.size } }]
        : []),
    ],
  };
}

/** On different nodes first, then in different zones; soft, so that a small cluster has one at all. */
const apart = (plan: ClusterPlan) =>
  (
    [
      ['kubernetes.io/hostname', 100],
      ['topology.kubernetes.io/zone', 50],
    ] as const
  ).map(([topologyKey, weight]) => ({
    weight,
    podAffinityTerm: { topologyKey, labelSelector: { matchLabels: selectorOf(plan, component) } },
  }));

function prepareContainer(plan: ClusterPlan): PodSpec['containers'][number] {
  const { pullPolicy = plan.operator.brokerPullPolicy } = plan.spec.brokers.image ?? {};
  return {
    name: 'prepare',
    image: brokerImage(plan),
    ...(pullPolicy && { imagePullPolicy: pullPolicy }),
    args: ['etcd-prepare', '--plan', memberPlanPath, '--folder', volumeFolder],
    env: [...ofPod, ...environmentOf(plan)],
    resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '512Mi' } },
    securityContext: containerSecurityContext,
    terminationMessagePolicy: 'FallbackToLogsOnError',
    volumeMounts: [
      { name: 'data', mountPath: volumeFolder },
      { name: 'plan', mountPath: memberPlanPath.slice(0, -planFile.length - 1), readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
    ],
  };
}

const ofPod = (
  [
    ['POD_NAME', 'metadata.name'],
    ['POD_IP', 'status.podIP'],
  ] as const
).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } }));

/** The bucket, for those who read or write snapshots. */
export const environmentOf = ({ spec: { s3 } }: ClusterPlan) => [
  ...Object.entries(fromS3(s3)).flatMap(([name, value]) =>
    value === undefined || name.includes('_READ_') ? [] : [{ name, value: String(value) }],
  ),
  ...s3Credentials(s3),
];

function etcdContainer(plan: ClusterPlan, etcd: ManagedEtcdSpec): PodSpec['containers'][number] {
  const { pullPolicy } = etcd.image ?? {};
  const { requests, limits } = etcd.resources ?? defaultResources;
  return {
    name: 'etcd',
    image: imageName(etcd.image, plan.operator.images.etcd),
    ...(pullPolicy && { imagePullPolicy: pullPolicy }),
    args: [`--config-file=${volumeFolder}/${memberPaths.config}`],
    ports: [
      { name: 'client', containerPort: ports.etcdClient, protocol: 'TCP' },
      { name: 'peer', containerPort: ports.etcdPeer, protocol: 'TCP' },
      { name: 'metrics', containerPort: ports.etcdMetrics, protocol: 'TCP' },
    ],
    resources: { ...(requests && { requests }), ...(limits && { limits }) },
    securityContext: containerSecurityContext,
    // Whether this member is alive is a matter of its own; ready it is with a quorum, full or not.
    startupProbe: { ...probe('serializable=true&'), periodSeconds: 5, failureThreshold: startupFailures },
    livenessProbe: { ...probe('serializable=true&'), periodSeconds: 10, failureThreshold: 6 },
    readinessProbe: { ...probe(''), periodSeconds: 5, failureThreshold: 3 },
    volumeMounts: [{ name: 'data', mountPath: volumeFolder }],
  };
}

const probe = (how: string) => ({
  httpGet: { path: `/health?${how}exclude=NOSPACE&exclude=CORRUPT`, port: ports.etcdMetrics },
  timeoutSeconds: 5,
});
