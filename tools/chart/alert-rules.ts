/** The chart's alerts as Prometheus reads them, and what their expressions name. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

export const alertRules = (): readonly AlertRule[] => {
  const { groups } = parse(read('charts/kafscale/rules/alerts.yaml')) as {
    readonly groups: readonly { readonly rules: readonly AlertRule[] }[];
  };
  return groups.flatMap(({ rules }) => rules);
};

/** Alerts that promtool tries. */
export const triedAlerts = (): readonly string[] => {
  const { tests } = parse(read('charts/kafscale/rules/alerts.test.yaml')) as {
    readonly tests: readonly { readonly name: string }[];
  };
  return tests.map(({ name }) => name);
};

/** Sections of the page on alerts. */
export const alertSections = (): readonly string[] =>
  [...read('docs/operations/alerts.md').matchAll(/^## (\w+)$/gm)].map(([, name]) => name!);

export const dashboardExpressions = (): readonly string[] => {
  const { panels } = JSON.parse(read('charts/kafscale/dashboards/kafscale.json')) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
  };
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
};

const promqlWords = new Set(
  'sum max min count avg by without rate increase time histogram_quantile and or unless on ignoring bool'.split(' '),
);

/** Metrics that an expression of PromQL names, without what it does with them. */
export function metricsIn(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/\{[^}]*\}/g, '')
    .replaceAll(/"[^"]*"/g, '')
    .replaceAll(/\b(by|without|on|ignoring) *\([^)]*\)/g, '')
    .replaceAll(/\[[^\]]*\]|\b\d[\w.]*/g, '');
  return [...bare.matchAll(/[A-Za-z_:][\w:]*/g)].map(([word]) => word).filter((word) => !promqlWords.has(word));
}

/** Labels that it selects by or sums over, other than those that scraping adds. */
export function labelsIn(expression: string): readonly string[] {
  const selected = [...expression.matchAll(/\{([^}]*)\}/g)].flatMap(([, inner]) =>
    [...inner!.matchAll(/(\w+) *(?:=~|!~|!=|=)/g)].map(([, label]) => label!),
  );
  const grouped = [...expression.matchAll(/\bby *\(([^)]*)\)/g)].flatMap(([, inner]) => inner!.split(/ *, */));
  return [...new Set([...selected, ...grouped])];
}
