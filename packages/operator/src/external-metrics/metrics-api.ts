/**
 * The external.metrics.k8s.io API, as far as an autoscaler asks for it: which metrics there are, and the load of clusters in a namespace.
 * Pure: a path and what is known of clusters in, an answer out.
 */
import { wholeSecond, type ObjectName } from '../kube/index.ts';
import { clusterLabel } from '../resources/broker-autoscaler.ts';
import { metricNames, type ClusterLoad } from './cluster-load.ts';

export interface MetricsApiSource {
  readonly wallMs: () => number;
  /** Names of the clusters in a namespace. */
  readonly clustersIn: (namespace: string) => readonly string[];
  readonly load: (metric: string, cluster: ObjectName) => ClusterLoad;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: object;
}

const group = 'external.metrics.k8s.io';
const apiVersion = `${group}/v1beta1`;
export const apiServiceName = `v1beta1.${group}`;
const root = `/apis/${apiVersion}`;

/** The answer to a GET. */
export function answerOf(path: string, query: URLSearchParams, source: MetricsApiSource): ApiAnswer {
  const groupVersion = { groupVersion: apiVersion, version: 'v1beta1' };
  const described = { name: group, versions: [groupVersion], preferredVersion: groupVersion };
  switch (path) {
    case '/apis':
      return ok({ kind: 'APIGroupList', apiVersion: 'v1', groups: [described] });
    case `/apis/${group}`:
      return ok({ kind: 'APIGroup', apiVersion: 'v1', ...described });
    case root:
      return ok({ kind: 'APIResourceList', apiVersion: 'v1', groupVersion: apiVersion, resources: resources() });
    default:
      return valuesAt(path, query, source);
  }
}

/** An answer that is none of success, as Kubernetes writes them. */
export function failure(status: number, reason: string, message: string): ApiAnswer {
  return {
    status,
    body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code: status },
  };
}

const ok = (body: object): ApiAnswer => ({ status: 200, body });

const resources = () =>
  metricNames.map((name) => {
    return { name, singularName: '', namespaced: true, kind: 'ExternalMetricValueList', verbs: ['get'] };
  });

function valuesAt(path: string, query: URLSearchParams, source: MetricsApiSource): ApiAnswer {
  const [, namespace, metric] = new RegExp(`^${root}/namespaces/([^/]+)/([^/]+)$`).exec(path) ?? [];
  if (namespace === undefined || metric === undefined || !metricNames.includes(metric)) {
    return failure(404, 'NotFound', `there is no such metric; there are ${metricNames.join(' and ')}`);
  }
  const wanted = wantedClusters(query.get('labelSelector') ?? '');
  if (wanted === undefined) {
    return failure(400, 'BadRequest', `select by ${clusterLabel}=<name of the cluster>, and by nothing else`);
  }
  const known = source.clustersIn(namespace);
  const named = wanted === 'all' ? known : wanted.filter((name) => known.includes(name));
  const loads = named.map((name) => ({ name, load: source.load(metric, { namespace, name }) }));
  const items = loads.flatMap(({ name, load }) => {
    if (!load.isKnown) return [];
    const value = String(Math.ceil(load.perSecond));
    return [
      { metricName: metric, metricLabels: { [clusterLabel]: name }, timestamp: wholeSecond(source.wallMs()), value },
    ];
  });
  // Without a value an autoscaler does nothing; here it also learns why.
  const unknown = loads.find(({ load }) => !load.isKnown);
  if (items.length === 0 && unknown?.load.isKnown === false) {
    return failure(503, 'ServiceUnavailable', `the load of ${unknown.name} is not known: ${unknown.load.why}`);
  }
  return ok({ kind: 'ExternalMetricValueList', apiVersion, metadata: {}, items });
}

/** Names of clusters that a selector chooses; undefined for a selector of another kind. */
function wantedClusters(selector: string): readonly string[] | 'all' | undefined {
  if (selector.trim() === '') return 'all';
  const equality = /^\s*([^\s=!,()]+)\s*={1,2}\s*([^\s=!,()]+)\s*$/.exec(selector);
  const membership = /^\s*([^\s=!,()]+)\s+in\s*\(([^()]*)\)\s*$/.exec(selector);
  const [, label, names] = equality ?? membership ?? [];
  return label === clusterLabel ? names!.split(',').map((name) => name.trim()) : undefined;
}
