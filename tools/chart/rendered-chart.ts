/** The chart as Helm renders it, for tests: objects by kind and name, and the rights they grant. */
import { helmBinary, repositoryFolder, runProgram } from '@kafscale/testkit';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';

export const chartFolder = join(repositoryFolder(), 'charts/kafscale');

export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** Runs Helm without a cluster, whatever the user's own is. Rejects with what it says. */
export async function helm(args: readonly string[], input?: string): Promise<string> {
  const options = { env: { KUBECONFIG: '/nowhere' }, timeoutMs: 120_000 };
  return runProgram(await helmBinary(), args, { ...options, ...(input !== undefined && { input }) });
}

export const namespace = 'kafscale-system';
export const release = 'kafscale';

/** As `helm template`, where the resources are known already; `values` are laid over the chart's own. */
export async function renderText(values: object = {}, ...flags: readonly string[]): Promise<string> {
  const where = ['template', release, chartFolder, '--namespace', namespace, '--is-upgrade'];
  return helm([...where, '--values', '-', ...flags], stringify(values));
}

export async function render(values: object = {}): Promise<readonly Rendered[]> {
  return parseAllDocuments(await renderText(values))
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

/** The rules of every role of these kinds whose name ends so. */
export function rulesOf(objects: readonly Rendered[], kind: 'Role' | 'ClusterRole', endings: readonly string[]) {
  return objects
    .filter((object) => object.kind === kind && endings.some((ending) => object.metadata.name.endsWith(ending)))
    .flatMap((object) => (object as unknown as { readonly rules: readonly Rule[] }).rules);
}

/** One line for each verb on each resource, sorted: what two lists of rights are compared by. */
export const linesOf = (
  rights: readonly {
    readonly group: string;
    readonly resource: string;
    readonly verbs: readonly string[];
    readonly name?: string;
  }[],
): readonly string[] =>
  rights
    .flatMap(({ group, resource, verbs, name = '*' }) => verbs.map((verb) => `${verb} ${group}/${resource} ${name}`))
    .sort();

export const rightsOf = (rules: readonly Rule[]) =>
  rules.flatMap(({ apiGroups, resources, verbs, resourceNames = [undefined] }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        resourceNames.map((name) => ({ group, resource, verbs, ...(name !== undefined && { name }) })),
      ),
    ),
  );

/** Values of chosen installations. */
export const everything = {
  operator: { replicas: 2 },
  demo: { enabled: true, minio: { persistence: { enabled: true } } },
  metrics: {
    serviceMonitor: { enabled: true },
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  },
};
export const twoNamespaces = { operator: { watchNamespaces: ['shop', 'bank'] } };

/** What the tests read of a pod. */
export interface PodSpec {
  readonly automountServiceAccountToken: boolean;
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly env: readonly { readonly name: string }[];
  }[];
}

/** Of a Deployment or a Pod; undefined for anything else. */
export function podOf(object: Rendered): PodSpec | undefined {
  if (object.kind === 'Pod') return object['spec'] as PodSpec;
  if (object.kind !== 'Deployment') return undefined;
  return (object['spec'] as { readonly template: { readonly spec: PodSpec } }).template.spec;
}
