/** `docs/reference/operator.md`, printed from the operator's own tables: its settings, conditions, Events and metrics. */
import {
  clusterConditions,
  clusterEvents,
  operatorConfigSchema,
  operatorConfigSections,
  operatorMetricDefinitions,
  topicConditions,
  topicEvents,
} from '@kafscale/operator';
import type { ListenAddress } from '@kafscale/protocol';
import { environmentNames } from '@kafscale/runtime';
import type { z } from 'zod';

/** Where the page lies, from the root of the repository. */
export const operatorReferencePath = 'docs/reference/operator.md';

const introduction = `# The operator

\`kafscale operator\` looks after KafScaleCluster and KafScaleTopic resources. \`/healthz\` answers 200 as long as the process works,
\`/readyz\` 200 once it has seen every resource. Of several operators the one that holds the lease acts; one that loses it ends, and is
started anew by Kubernetes.

This page is generated from \`packages/operator/src\`: \`config.ts\`, \`api/conditions.ts\`, the tables of Events and
\`metrics/metric-definitions.ts\`.
`;

const scaling = `## How brokers go

\`kubectl scale kafscalecluster/x --replicas=2\`, an autoscaler and an edit of the resource take one road: one broker after another is
marked, cordoned and drained, and the count of the Deployment sinks only when it owns nothing. One that cannot hand over within
\`drainTimeoutSeconds\` stays, and is tried again later, at first after half a minute and at last every ten; the condition
ScaleDownBlocked says so. \`kubectl annotate kafscalecluster/x kafscale.io/force-scale-down=true\` lets it go all the same, by its own
drain when it is told to stop.

A count set on the Deployment is taken over into the resource, or set back where an autoscaler decides; an Event says which. Pods that
Kubernetes ends by itself (a rollout, \`kubectl drain\`, an eviction) drain themselves.
`;

export function operatorReference(): string {
  return [
    introduction,
    scaling,
    ...settings(),
    ...conditions('KafScaleCluster', clusterConditions),
    ...conditions('KafScaleTopic', topicConditions),
    ...events('KafScaleCluster', clusterEvents),
    ...events('KafScaleTopic', topicEvents),
    ...metrics(),
  ].join('\n');
}

function settings(): readonly string[] {
  const defaults = operatorConfigSchema.parse({}) as Readonly<Record<string, unknown>>;
  const sections = Object.entries(operatorConfigSections).flatMap(([heading, fields]) => [
    `### ${heading}\n`,
    ...Object.entries<z.ZodType>(fields).map(([field, type]) => {
      const [name = field] = environmentNames(type);
      const value = defaults[field];
      const unless = value === undefined ? 'no default' : `default \`${shown(value)}\``;
      return `- \`${name}\`: ${type.meta()?.description ?? ''} (${unless})`;
    }),
    '',
  ]);
  const about =
    'Every setting is a variable of the environment; `NAME_FILE` gives a file that holds the value instead.';
  return ['## Settings\n', `${about}\n`, ...sections];
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  if (typeof value !== 'object' || value === null) return String(value);
  if (!('port' in value))
    return Object.entries(value)
      .map((pair) => pair.join('='))
      .join(',');
  const { host = '', port } = value as ListenAddress;
  return `${host}:${port}`;
}

interface Condition {
  readonly meaning: string;
  readonly reasons: Readonly<Record<string, string>>;
}

const conditions = (kind: string, table: Readonly<Record<string, Condition>>): readonly string[] => [
  `## Conditions of a ${kind}\n`,
  ...Object.entries(table).map(([type, { meaning, reasons }]) => {
    const lines = Object.entries(reasons).map(([reason, text]) => `- \`${reason}\`: ${text}`);
    return `### \`${type}\`\n\n${meaning}\n\n${lines.join('\n')}\n`;
  }),
];

const events = (kind: string, table: Readonly<Record<string, { readonly type: string; readonly meaning: string }>>) => [
  `## Events of a ${kind}\n`,
  ...Object.entries(table).map(([reason, { type, meaning }]) => `- \`${reason}\` (${type}): ${meaning}`),
  '',
];

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

function metrics(): readonly string[] {
  const about = 'Those of reconciling, queues and leading have the names that controller-runtime gave them.';
  const lines = Object.values<Metric>(operatorMetricDefinitions).map(({ name, type, labels, help }) => {
    const by = labels.length === 0 ? '' : ` by ${labels.map((label) => `\`${label}\``).join(', ')}`;
    return `- \`${name}\` (${type}${by}): ${help}`;
  });
  return ['## Metrics\n', `${about}\n`, ...lines, ''];
}
