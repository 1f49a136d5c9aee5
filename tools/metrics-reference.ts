/** `docs/reference/metrics.md`, printed from the table of metrics. */
import { metricDefinitions, type MetricDefinition } from '@kafscale/broker';

/** Where the page lies, from the root of the repository. */
export const metricsReferencePath = 'docs/reference/metrics.md';

const introduction = `# Metrics of the broker

\`GET /metrics\` on the metrics port (9093) answers in the text format of Prometheus. \`/healthz\` answers 200 as long as the process
works at all, \`/readyz\` 200 while it serves clients and 503 otherwise.

Times are seconds and sizes bytes, but for the names that end in \`_ms\`: those are kept for dashboards that exist.

This page is generated from the table in \`packages/broker/src/metrics/metric-definitions.ts\`.
`;

export function metricsReference(): string {
  return [introduction, ...Object.values<MetricDefinition>(metricDefinitions).map(entry)].join('\n');
}

function entry({ name, type, labels, help }: MetricDefinition): string {
  const facts = [type, ...(labels.length === 0 ? [] : [`by ${labels.map((label) => `\`${label}\``).join(', ')}`])];
  return `## \`${name}\`\n\n${help}\n\n${facts.map((fact) => `- ${fact}`).join('\n')}\n`;
}
