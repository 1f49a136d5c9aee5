import { metricDefinitions as brokerMetrics } from '@kafscale/broker';
import { operatorMetricDefinitions as operatorMetrics } from '@kafscale/operator';
import {
  alertRules,
  alertSections,
  dashboardExpressions,
  labelsIn,
  metricsIn,
  triedAlerts,
  type AlertRule,
} from './alert-rules.ts';

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
}

const metrics: readonly Metric[] = [...Object.values<Metric>(brokerMetrics), ...Object.values<Metric>(operatorMetrics)];

/** A histogram is scraped as three metrics. */
const scraped = new Map(
  metrics.flatMap(({ name, type, labels }) => {
    if (type !== 'histogram') return [[name, labels] as const];
    return [
      [`${name}_bucket`, [...labels, 'le']] as const,
      ...['_sum', '_count'].map((part) => [`${name}${part}`, labels] as const),
    ];
  }),
);

/** What the PodMonitor and Kubernetes' own discovery add. */
const addedLabels = ['namespace', 'cluster', 'pod'];

const rules = alertRules().map((rule) => [rule.alert, rule] as const);

describe('alerts', () => {
  it.each(rules)('%s asks for metrics and labels that exist', (_, { expr }: AlertRule) => {
    expectKnown(expr);
  });

  it.each(rules)('%s leads to its own runbook', (name, { annotations }: AlertRule) => {
    expect(annotations.runbook_url).toBe(`RUNBOOKS#${name.toLowerCase()}`);
    expect(alertSections()).toContain(name);
  });

  it.each(rules)('%s is tried by promtool and graded', (name, { labels }: AlertRule) => {
    expect(triedAlerts()).toContain(name);
    expect(['warning', 'critical']).toContain(labels.severity);
  });

  it('are all that the page on alerts and the cases of promtool speak of', () => {
    const names = rules.map(([name]) => name);
    expect([...alertSections()].sort()).toEqual([...names].sort());
    expect([...triedAlerts()].sort()).toEqual([...names].sort());
  });
});

describe('the dashboard', () => {
  it('asks for metrics and labels that exist', () => {
    const expressions = dashboardExpressions();
    expect(expressions.length).toBeGreaterThan(5);
    for (const expression of expressions) expectKnown(expression);
  });
});

describe('metricsIn', () => {
  it('finds every metric and nothing else', () => {
    const expression =
      'histogram_quantile(0.99, sum by (le, cluster) (rate(a_bucket{x="b_total"}[5m]))) / (c > 0) + time() - 2e3';
    expect(metricsIn(expression)).toEqual(['a_bucket', 'c']);
    expect(labelsIn(expression)).toEqual(['x', 'le', 'cluster']);
  });
});

function expectKnown(expression: string): void {
  const named = metricsIn(expression);
  expect(named.length).toBeGreaterThan(0);
  expect(named.filter((name) => !scraped.has(name))).toEqual([]);
  const labels = new Set([...addedLabels, ...named.flatMap((name) => scraped.get(name)!)]);
  expect(labelsIn(expression).filter((label) => !labels.has(label))).toEqual([]);
}
