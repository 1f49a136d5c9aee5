/** The objects that make up a cluster's brokers. Pure: from the plan alone, the same plan giving the same objects. */
import { createHash } from 'node:crypto';
import type { KafScaleClusterSpec } from '../api/cluster.ts';
import { kinds, type Child, type Deployment } from '../kube/index.ts';
import { brokerEnvironment, mountPaths, podEnvironment } from './broker-environment.ts';
import { childOf, labelsOf, namesOf, ports, selectorOf, type ClusterPlan } from './cluster-plan.ts';
import { containerSecurityContext, podSecurityContext } from './pod-security.ts';

const component = 'broker' as const;

/** Beyond the drain: closing connections, the last flush, and what Kubernetes itself needs. */
const graceBeyondDrainSeconds = 30;
/** Between SIGTERM's announcement and SIGTERM: until no Service sends new connections here. Counts into the grace period. */
const preStopSleepSeconds = 3;
const minReadySeconds = 5;
const progressDeadlineSeconds = 600;
const startupFailures = 60;
const defaultResources = { requests: { cpu: '500m', memory: '1Gi' }, limits: { memory: '2Gi' } };

/** All of them but the Deployment, whose replicas are a matter of draining. */
export function brokerObjects(plan: ClusterPlan): readonly Child[] {
  return [
    brokerServiceAccount(plan),
    brokerConfigMap(plan),
    brokerService(plan),
    brokerHeadlessService(plan),
    brokerDisruptionBudget(plan),
  ];
}

export function brokerServiceAccount(plan: ClusterPlan): Child {
  const annotations = plan.spec.brokers.serviceAccountAnnotations;
  return childOf(plan, kinds.ServiceAccount, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).broker, ...(annotations && { annotations }) },
      automountServiceAccountToken: false,
    },
  });
}

export function brokerConfigMap(plan: ClusterPlan): Child {
  const object = { metadata: { name: namesOf(plan.name).brokerConfig }, data: brokerEnvironment(plan) };
  return childOf(plan, kinds.ConfigMap, { component, object });
}

/** What clients in the Kubernetes cluster connect to first, and outside as its type says. */
export function brokerService(plan: ClusterPlan): Child {
  const { service } = plan.spec.brokers;
  const { type, annotations, kafkaNodePort, metricsNodePort, ...rest } = service;
  return childOf(plan, kinds.Service, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).broker, ...(annotations && { annotations }) },
      spec: {
        type,
        selector: selectorOf(plan, component),
        ports: [
          { ...servicePort('kafka'), ...(kafkaNodePort && { nodePort: kafkaNodePort }) },
          { ...servicePort('metrics'), ...(metricsNodePort && { nodePort: metricsNodePort }) },
        ],
        ...(rest.loadBalancerIP && { loadBalancerIP: rest.loadBalancerIP }),
        ...(rest.loadBalancerClass && { loadBalancerClass: rest.loadBalancerClass }),
        ...(rest.loadBalancerSourceRanges && { loadBalancerSourceRanges: rest.loadBalancerSourceRanges }),
        ...(rest.externalTrafficPolicy && { externalTrafficPolicy: rest.externalTrafficPolicy }),
      },
    },
  });
}

/** Gives each pod a name, that of its address; also while it drains, when clients still have things to end there. */
export function brokerHeadlessService(plan: ClusterPlan): Child {
  return childOf(plan, kinds.Service, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).brokerHeadless },
      spec: {
        type: 'ClusterIP',
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector: selectorOf(plan, component),
        ports: [servicePort('kafka'), servicePort('metrics'), servicePort('control')],
      },
    },
  });
}

const servicePort = (name: 'kafka' | 'metrics' | 'control') => ({
  name,
  port: ports[name],
  targetPort: name,
  protocol: 'TCP',
});

/** One broker at a time may be evicted; one that is not ready anyway is not in the way of a node that is emptied. */
export function brokerDisruptionBudget(plan: ClusterPlan): Child {
  return childOf(plan, kinds.PodDisruptionBudget, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).broker },
      spec: {
        maxUnavailable: 1,
        unhealthyPodEvictionPolicy: 'AlwaysAllow',
        selector: { matchLabels: selectorOf(plan, component) },
      },
    },
  });
}

export interface DeploymentSettings {
  readonly replicas: number;
  /** Of the secrets that pods read at their start: another one replaces the pods. */
  readonly secretsHash: string;
}

export function brokerDeployment(plan: ClusterPlan, { replicas, secretsHash }: DeploymentSettings): Child<Deployment> {
  const { brokers } = plan.spec;
  return childOf(plan, kinds.Deployment, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).broker },
      spec: {
        replicas,
        minReadySeconds,
        progressDeadlineSeconds,
        revisionHistoryLimit: 5,
        selector: { matchLabels: selectorOf(plan, component) },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: {
            labels: { ...brokers.podLabels, ...labelsOf(plan, component) },
            annotations: {
              ...brokers.podAnnotations,
              'kafscale.io/config-hash': hashOf(brokerEnvironment(plan)),
              'kafscale.io/secrets-hash': secretsHash,
            },
          },
          spec: podSpec(plan),
        },
      },
    },
  });
}

type PodSpec = NonNullable<NonNullable<Deployment['spec']>['template']['spec']>;

function podSpec(plan: ClusterPlan): PodSpec {
  const { spec, name } = plan;
  const { brokers } = spec;
  const { image } = brokers;
  // The API server checks what is Kubernetes' own, here as in any other pod.
  const placement = brokers as unknown as Pick<PodSpec, 'affinity' | 'tolerations' | 'topologySpreadConstraints'>;
  return {
    serviceAccountName: namesOf(name).broker,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: brokers.drainTimeoutSeconds + preStopSleepSeconds + graceBeyondDrainSeconds,
    securityContext: podSecurityContext,
    ...(image?.pullSecrets && { imagePullSecrets: image.pullSecrets }),
    ...(placement.affinity && { affinity: placement.affinity }),
    ...(brokers.nodeSelector && { nodeSelector: brokers.nodeSelector }),
    ...(placement.tolerations && { tolerations: placement.tolerations }),
    ...(brokers.priorityClassName && { priorityClassName: brokers.priorityClassName }),
    topologySpreadConstraints: placement.topologySpreadConstraints ?? defaultSpread(plan),
    containers: [container(plan)],
    volumes: [
      { name: 'tmp', emptyDir: { sizeLimit: '64Mi' } },
      { name: 'control', secret: { secretName: namesOf(name).control, defaultMode: 0o444 } },
      ...(spec.etcd.tlsSecretRef
        ? [{ name: 'etcd-tls', secret: { secretName: spec.etcd.tlsSecretRef.name, defaultMode: 0o444 } }]
        : []),
    ],
  };
}

function container(plan: ClusterPlan): PodSpec['containers'][number] {
  const { spec } = plan;
  const { brokers } = spec;
  const { pullPolicy = plan.operator.brokerPullPolicy } = brokers.image ?? {};
  const { requests, limits } = brokers.resources ?? defaultResources;
  return {
    name: 'broker',
    image: brokerImage(plan),
    ...(pullPolicy && { imagePullPolicy: pullPolicy }),
    args: ['broker'],
    envFrom: [{ configMapRef: { name: namesOf(plan.name).brokerConfig } }],
    env: podEnvironment(spec),
    ports: (['kafka', 'metrics', 'control'] as const).map((name) => ({
      name,
      containerPort: ports[name],
      protocol: 'TCP',
    })),
    resources: { ...(requests && { requests }), ...(limits && { limits }) },
    securityContext: containerSecurityContext,
    startupProbe: { ...probe('/startupz'), periodSeconds: 2, failureThreshold: startupFailures },
    readinessProbe: { ...probe('/readyz'), periodSeconds: 2, failureThreshold: 2 },
    livenessProbe: { ...probe('/healthz'), periodSeconds: 10, failureThreshold: 6 },
    lifecycle: { preStop: { sleep: { seconds: preStopSleepSeconds } } },
    volumeMounts: [
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'control', mountPath: mountPaths.control, readOnly: true },
      ...(spec.etcd.tlsSecretRef ? [{ name: 'etcd-tls', mountPath: mountPaths.etcdTls, readOnly: true }] : []),
    ],
  };
}

const probe = (path: string) => ({ httpGet: { path, port: 'metrics' }, timeoutSeconds: 3 });

/** What the resource asks for, or the operator's own release. */
export function brokerImage({ spec, operator }: ClusterPlan): string {
  return imageName(spec.brokers.image, operator.images.broker);
}

type Image = KafScaleClusterSpec['brokers']['image'];

export function imageName(image: Image, otherwise: string): string {
  if (image?.repository === undefined && image?.tag === undefined && image?.digest === undefined) return otherwise;
  const repository = image.repository ?? withoutTag(otherwise);
  if (image.digest !== undefined) return `${repository}@${image.digest}`;
  return `${repository}:${image.tag ?? tagOf(otherwise)}`;
}

const tagOf = (image: string): string => /:([\w][\w.-]*)$/.exec(image)?.[1] ?? 'latest';
const withoutTag = (image: string): string => image.replace(/@sha256:[0-9a-f]+$/, '').replace(/:[\w][\w.-]*$/, '');

/** Over nodes and zones, where there are more than one. */
const defaultSpread = (plan: ClusterPlan) =>
  ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: selectorOf(plan, component) },
  }));

/** Short, and the same for the same values in any order. */
export function hashOf(values: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(values).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 16);
}
