/**
 * Every right the operator has, and what needs it. The chart grants exactly these: a test compares, so that a rule that nothing needs
 * any more, or one that is wider than it has to be, fails.
 */

export interface Right {
  readonly group: string;
  readonly resource: string;
  readonly verbs: readonly string[];
  /** The only object, where it is one. */
  readonly name?: string;
  readonly neededBy: string;
}

const follow = ['list', 'watch'];
/** Server-side apply is a patch, and a create where there is nothing yet; `get` asks after one that the cache does not have. */
const keep = ['get', ...follow, 'create', 'patch', 'delete'];

const children = (group: string, ...resources: readonly string[]): readonly Right[] =>
  resources.map((resource) => ({
    ...{ group, resource, verbs: keep },
    neededBy: 'kube/apply/children.ts, for objects of a cluster, and their informers',
  }));

/** In every namespace whose clusters the operator looks after. */
export const rightsOverClusters: readonly Right[] = [
  { group: 'kafscale.io', resource: 'kafscaleclusters', verbs: follow, neededBy: 'reconcile/watched-world.ts' },
  {
    ...{ group: 'kafscale.io', resource: 'kafscaletopics', verbs: [...follow, 'patch'] },
    neededBy: 'reconcile/watched-world.ts; reconcile/topic/topic-finalizer.ts',
  },
  {
    ...{ group: 'kafscale.io', resource: 'kafscaleclusters/scale', verbs: ['patch'] },
    neededBy: 'reconcile/cluster/cluster-reconciler.ts, to adopt a count set on the Deployment',
  },
  ...['kafscaleclusters/status', 'kafscaletopics/status'].map((resource) => ({
    ...{ group: 'kafscale.io', resource, verbs: ['patch'] },
    neededBy: 'kube/apply/status-writer.ts',
  })),
  {
    ...{ group: 'kafscale.io', resource: 'kafscaleclusters/finalizers', verbs: ['update'] },
    neededBy: 'kube/owner-references.ts: an owner that blocks its deletion, where the API server checks that',
  },
  { group: 'events.k8s.io', resource: 'events', verbs: ['create', 'patch'], neededBy: 'kube/events.ts' },
  ...children('', 'configmaps', 'services', 'serviceaccounts'),
  ...children('apps', 'deployments', 'statefulsets'),
  ...children('autoscaling', 'horizontalpodautoscalers'),
  ...children('batch', 'cronjobs', 'jobs'),
  ...children('networking.k8s.io', 'networkpolicies'),
  ...children('policy', 'poddisruptionbudgets'),
  {
    ...{ group: '', resource: 'pods', verbs: [...follow, 'patch', 'delete'] },
    neededBy:
      'reconcile/watched-world.ts; reconcile/drain/scale-down-executor.ts marks the pod that is to go; reconcile/etcd/managed-etcd.ts starts a member anew that cannot get on',
  },
  {
    ...{ group: '', resource: 'secrets', verbs: ['get', 'create'] },
    neededBy: 'reconcile/cluster/control-token.ts, referenced-secrets.ts',
  },
];

/** In the operator's own namespace; `name` is the operator's. */
export const rightsAtHome = (name: string): readonly Right[] => [
  {
    ...{ group: 'coordination.k8s.io', resource: 'leases', verbs: ['create'] },
    neededBy: 'kube/leader-election.ts, when somebody deleted the lease',
  },
  {
    ...{ group: 'coordination.k8s.io', resource: 'leases', verbs: ['get', 'update'], name },
    neededBy: 'kube/leader-election.ts',
  },
  {
    ...{ group: '', resource: 'secrets', verbs: ['create'] },
    neededBy: 'external-metrics/certificate-keeper.ts, when somebody deleted it',
  },
  {
    ...{ group: '', resource: 'secrets', verbs: ['get', 'patch'], name: `${name}-certificate` },
    neededBy: 'external-metrics/certificate-keeper.ts',
  },
];

/** In the whole Kubernetes cluster, whatever is watched, while external metrics are on. */
export const rightsEverywhere: readonly Right[] = [
  {
    ...{ group: 'apiregistration.k8s.io', resource: 'apiservices', verbs: ['get', 'patch'] },
    ...{ name: 'v1beta1.external.metrics.k8s.io', neededBy: 'external-metrics/external-metrics.ts' },
  },
];
