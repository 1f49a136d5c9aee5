/** `charts/kafscale/README.md`, printed from the chart's schema and the defaults of its values. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** Where the page lies, from the root of the repository. */
export const chartReadmePath = 'charts/kafscale/README.md';

const introduction = `# Helm chart of KafScale

The operator, the definitions of \`KafScaleCluster\` and \`KafScaleTopic\`, its rights, what Prometheus and Grafana want to know, and a
cluster to try out. [Installing](../../docs/operations/install.md), [upgrading](../../docs/operations/upgrade.md) and
[alerts](../../docs/operations/alerts.md) have pages of their own.

\`\`\`sh
helm install kafscale charts/kafscale --namespace kafscale --create-namespace
\`\`\`

- Definitions are upgraded with the release, and stay when it is uninstalled (\`crds.keep\`).
- Several operators: one acts, by a lease; the others take over within 15 seconds.
- Values that nothing reads are refused.

## Values

This table is printed from \`values.schema.json\` and \`values.yaml\` by \`npm run generate-docs\`.

| value | default | what it does |
| --- | --- | --- |
`;

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const read = (path: string): string => readFileSync(new URL(`../../charts/kafscale/${path}`, import.meta.url), 'utf8');

export function chartReadme(): string {
  const schema = JSON.parse(read('values.schema.json')) as Schema;
  const values: unknown = parse(read('values.yaml'));
  const lines = rows(schema, values, []).map((cells) => `| ${cells.join(' | ')} |`);
  return `${introduction}${lines.join('\n')}\n`;
}

function rows({ properties }: Schema, values: unknown, path: readonly string[]): readonly (readonly string[])[] {
  return Object.entries(properties ?? {}).flatMap(([name, schema]) => {
    const value = (values as Readonly<Record<string, unknown>> | undefined)?.[name];
    const here = [...path, name];
    if (schema.properties !== undefined) return rows(schema, value, here);
    // Helm's own has no default.
    if (value === undefined && path.length === 0) return [];
    const shown = value === undefined ? '' : `\`${JSON.stringify(value)}\``;
    return [[`\`${here.join('.')}\``, shown, (schema.description ?? '').replaceAll('|', '\\|')]];
  });
}
