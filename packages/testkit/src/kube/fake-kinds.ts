/** The kinds that the fake API server knows, and what it fills in where a real one has defaults. */

/** A JSON object of the API, as the fake keeps it. */
export interface FakeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: FakeMeta;
  [field: string]: unknown;
}

export interface FakeMeta {
  name?: string;
  namespace?: string;
  generateName?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
  finalizers?: string[];
  managedFields?: unknown;
}

export interface FakeKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** False for kinds without a status subresource, whose generation is not counted either; true unless set. */
  readonly status?: boolean;
  /** Where the scale subresource finds its numbers, as dotted paths. */
  readonly scale?: { readonly specReplicas: string; readonly statusReplicas: string; readonly selector: string };
  /** Fills in what was left out, in place. */
  readonly defaults?: (object: FakeObject) => void;
  /** Refuses an object: the message of the 422, undefined to accept. */
  readonly validate?: (object: FakeObject, before: FakeObject | undefined) => string | undefined;
}

type Json = Record<string, unknown>;

/** A copy that lacks these fields. */
export function without<T extends object, Name extends keyof T>(object: T, ...names: readonly Name[]): Omit<T, Name> {
  const left = Object.entries(object).filter(([name]) => !(names as readonly string[]).includes(name));
  return Object.fromEntries(left) as Omit<T, Name>;
}

const child = (parent: Json, name: string): Json => (parent[name] ??= {}) as Json;

const items = (parent: Json, name: string): Json[] => (parent[name] ?? []) as Json[];

function fill(target: Json, defaults: Json): void {
  for (const [name, value] of Object.entries(defaults)) target[name] ??= value;
}

function podDefaults(pod: Json): void {
  fill(pod, {
    ...{ restartPolicy: 'Always', dnsPolicy: 'ClusterFirst', schedulerName: 'default-scheduler' },
    ...{ terminationGracePeriodSeconds: 30, securityContext: {} },
  });
  for (const container of [...items(pod, 'containers'), ...items(pod, 'initContainers')]) {
    fill(container, {
      ...{ imagePullPolicy: 'IfNotPresent', resources: {} },
      ...{ terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' },
    });
    for (const port of items(container, 'ports')) fill(port, { protocol: 'TCP' });
    for (const name of ['readinessProbe', 'livenessProbe', 'startupProbe']) {
      const probe = container[name] as Json | undefined;
      if (probe === undefined) continue;
      fill(probe, { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 });
      if (probe['httpGet'] !== undefined) fill(probe['httpGet'] as Json, { scheme: 'HTTP', path: '/' });
    }
  }
}

const templateDefaults = (object: FakeObject): void =>
  podDefaults(child(child(child(object, 'spec'), 'template'), 'spec'));

const workloadScale = { specReplicas: 'spec.replicas', statusReplicas: 'status.replicas', selector: 'status.selector' };

const core = 'v1';
const namespaced = true;

/** As many as the operator touches, with the subresources and the most visible defaults of the real ones. */
export const builtInKinds: readonly FakeKind[] = [
  { apiVersion: core, kind: 'ConfigMap', plural: 'configmaps', namespaced, status: false },
  { apiVersion: core, kind: 'Endpoints', plural: 'endpoints', namespaced, status: false },
  { apiVersion: core, kind: 'Event', plural: 'events', namespaced, status: false },
  { apiVersion: core, kind: 'Namespace', plural: 'namespaces', namespaced: false },
  { apiVersion: core, kind: 'Node', plural: 'nodes', namespaced: false },
  { apiVersion: core, kind: 'PersistentVolumeClaim', plural: 'persistentvolumeclaims', namespaced },
  { apiVersion: core, kind: 'Pod', plural: 'pods', namespaced, defaults: (pod) => podDefaults(child(pod, 'spec')) },
  { apiVersion: core, kind: 'Secret', plural: 'secrets', namespaced, status: false, defaults: secretDefaults },
  { apiVersion: core, kind: 'Service', plural: 'services', namespaced, defaults: serviceDefaults },
  { apiVersion: core, kind: 'ServiceAccount', plural: 'serviceaccounts', namespaced, status: false },
  {
    ...{ apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced, scale: workloadScale },
    defaults(object) {
      templateDefaults(object);
      fill(child(object, 'spec'), {
        ...{ replicas: 1, progressDeadlineSeconds: 600, revisionHistoryLimit: 10 },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      });
    },
  },
  { apiVersion: 'apps/v1', kind: 'ReplicaSet', plural: 'replicasets', namespaced, scale: workloadScale },
  {
    ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', plural: 'statefulsets', namespaced, scale: workloadScale },
    defaults(object) {
      templateDefaults(object);
      fill(child(object, 'spec'), {
        ...{ replicas: 1, podManagementPolicy: 'OrderedReady', revisionHistoryLimit: 10 },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      });
    },
  },
  { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', plural: 'horizontalpodautoscalers', namespaced },
  { apiVersion: 'batch/v1', kind: 'CronJob', plural: 'cronjobs', namespaced },
  { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced },
  { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced, status: false },
  { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', plural: 'endpointslices', namespaced, status: false },
  { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced, status: false },
  { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', plural: 'networkpolicies', namespaced, status: false },
  { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', plural: 'poddisruptionbudgets', namespaced },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', plural: 'roles', namespaced, status: false },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    plural: 'rolebindings',
    namespaced,
    status: false,
  },
  {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    namespaced: false,
  },
];

function serviceDefaults(object: FakeObject): void {
  const spec = child(object, 'spec');
  fill(spec, {
    type: 'ClusterIP',
    sessionAffinity: 'None',
    ipFamilyPolicy: 'SingleStack',
    internalTrafficPolicy: 'Cluster',
  });
  fill(spec, { clusterIP: '10.96.0.10', ipFamilies: ['IPv4'] });
  fill(spec, { clusterIPs: [spec['clusterIP']] });
  for (const port of items(spec, 'ports')) fill(port, { protocol: 'TCP', targetPort: port['port'] });
}

/** `stringData` is for writing alone. */
function secretDefaults(object: FakeObject): void {
  fill(object, { type: 'Opaque' });
  const { stringData } = object as { stringData?: Record<string, string> };
  if (stringData === undefined) return;
  const data = child(object, 'data');
  for (const [name, text] of Object.entries(stringData)) data[name] = Buffer.from(text).toString('base64');
  delete object['stringData'];
}
