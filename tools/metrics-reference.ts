/** `docs/reference/metrics.md`, printed from the table of metrics. */
import { metricDefinitions, type MetricDefinition } from '@kafscale/broker';

/** Where the page lies, from the root of the repository. */
export const metricsReferencePath = 'docs/reference/metrics.md';

const introduction = `# Metrics of the broker

\`GET /metrics\` on the metrics port (9093) answers in the text format of Prometheus. \`/healthz\` answers 200 as long as the process
works at all, \`/readyz\` 200 while it serves clients and 503 otherwise.

Times are seconds and sizes bytes, but for the names that end in \`_ms\`: those are kept for dashboards that exist.

Some names come from dashboards of older brokers. What they mean here, where that is not the same:

- \`kafscale_consumer_lag\` and \`kafscale_consumer_lag_max\` are measured where a consumer fetches, by the leader, against what it asks
  for; not against the offset its group committed. A group that has stopped fetching shows in neither; ask for its committed offsets.
- \`kafscale_s3_*\` speak of the object store in use, also when that is a folder.
- \`kafscale_broker_goroutines\` does not exist, as there are none: \`kafscale_event_loop_delay_p99_seconds\` tells whether a broker
  keeps up.
- \`kafscale_authz_denied_total\` does not exist until brokers have ACLs.

Sums over all brokers are right for every counter, and for the gauges of which only the controller speaks
(\`kafscale_unowned_partitions\`, \`kafscale_misplaced_partitions\`). \`sum(kafscale_controller_active)\` is 1 in a cluster that is well.

This page is generated from the table in \`packages/broker/src/metrics/metric-definitions.ts\`.
`;

export function metricsReference(): string {
  return [introduction, ...Object.values<MetricDefinition>(metricDefinitions).map(entry)].join('\n');
}

function entry({ name, type, labels, help }: MetricDefinition): string {
  const facts = [type, ...(labels.length === 0 ? [] : [`by ${labels.map((label) => `\`${label}\``).join(', ')}`])];
  return `## \`${name}\`\n\n${help}\n\n${facts.map((fact) => `- ${fact}`).join('\n')}\n`;
}
