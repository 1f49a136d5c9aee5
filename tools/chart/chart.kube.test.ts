/** The chart by real Helm: what it refuses, what it renders, and what it grants. */
import { environmentNames } from '@kafscale/runtime';
import { operatorConfigSchema } from '@kafscale/operator';
import { runProgram } from '@kafscale/testkit';
import { jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { z } from 'zod';
import { rightsAtHome, rightsEverywhere, rightsOverClusters } from './operator-rights.ts';
import {
  chartFolder,
  everything,
  helm,
  linesOf,
  podOf,
  release,
  render,
  renderText,
  rightsOf,
  rulesOf,
  twoNamespaces,
  type PodSpec,
} from './rendered-chart.ts';

// Helm is built here when it was not before.
jest.setTimeout(90 * 60_000);

describe('values', () => {
  it('pass the linter', async () => {
    expect(await helm(['lint', '--strict', chartFolder])).toContain('0 chart(s) failed');
  });

  it.each<readonly [string, object, string]>([
    ['a name that is no value', { operator: { replica: 2 } }, "'replica' not allowed"],
    ['a text for a switch', { crds: { keep: 'maybe' } }, 'want boolean'],
    ['a namespace that cannot be', { operator: { watchNamespaces: ['Shop'] } }, 'does not match pattern'],
    ['an even number of etcd members', { demo: { etcd: { replicas: 2 } } }, 'must be one of 1, 3, 5'],
    ['a digest that is none', { image: { digest: 'sha256:1' } }, 'does not match pattern'],
    [
      'a demo where the operator does not look',
      { ...twoNamespaces, demo: { enabled: true } },
      'Add it to operator.watchNamespaces',
    ],
  ])('refuse %s', async (_, values, said) => {
    await expect(renderText(values)).rejects.toThrow(said);
  });

  it('refuse a demo before the API server can know its resources, and say what to do', async () => {
    const install = helm(['template', release, chartFolder, '--set', 'demo.enabled=true']);
    await expect(install).rejects.toThrow('Install without the demo first');
  });

  it('are all described, and all have a default', async () => {
    const schema = JSON.parse(await readFile(join(chartFolder, 'values.schema.json'), 'utf8')) as Schema;
    expect(undescribed(schema, '')).toEqual([]);
  });
});

describe('what is rendered', () => {
  it('is the same every time', async () => {
    expect(await renderText(everything)).toBe(await renderText(everything));
  });

  it('looks nothing up in a cluster, and makes nothing up', async () => {
    const functions = '[{][{].*\\b(lookup|randAlpha[A-Za-z]*|uuidv4|genCA|genSigned[A-Za-z]*|genSelf[A-Za-z]*|now)\\b';
    const found = runProgram('grep', ['-rlE', functions, join(chartFolder, 'templates')]);
    await expect(found).rejects.toThrow(); // grep ends with 1 where nothing matches
  });

  it('gives the operator only variables that it knows', async () => {
    const known = Object.values(operatorConfigSchema.shape).flatMap((type) => environmentNames(type as z.ZodType));
    const container = containerOf(await deploymentOf(everything, 'kafscale-operator'));
    expect(container.env.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([]);
    expect(container.args).toEqual(['operator']);
  });

  it('mounts a token in the operator alone', async () => {
    for (const object of await render(everything)) {
      const pod = podOf(object);
      if (pod !== undefined) {
        expect([object.metadata.name, pod.automountServiceAccountToken]).toEqual([
          object.metadata.name,
          object.metadata.name === 'kafscale-operator',
        ]);
      }
    }
  });

  it('keeps the definitions of resources unless told otherwise', async () => {
    const keeping = (await render()).filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(keeping.map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy'])).toEqual(['keep', 'keep']);
    const going = (await render({ crds: { keep: false } })).filter(({ kind }) => kind === 'CustomResourceDefinition');
    expect(going.map(({ metadata }) => metadata.annotations)).toEqual([undefined, undefined]);
  });

  it('is what the Prometheus operator wants to know, with the address of the runbooks', async () => {
    const rules = (await render(everything)).find(({ kind }) => kind === 'PrometheusRule');
    expect(JSON.stringify(rules)).toContain('docs/operations/alerts.md#kafscalenocontroller');
    expect(JSON.stringify(rules)).not.toContain('RUNBOOKS');
  });
});

describe('alerts', () => {
  it('stay silent at first and speak up in the words that promtool is told to expect', async () => {
    expect(await runProgram('promtool', ['test', 'rules', join(chartFolder, 'rules/alerts.test.yaml')])).toContain(
      'SUCCESS',
    );
  });
});

describe('rights of the operator', () => {
  it('over clusters are those that its code needs, in all namespaces', async () => {
    const rules = rulesOf(await render(), 'ClusterRole', ['-resources', '-workloads', '-secrets']);
    expect(linesOf(rightsOf(rules))).toEqual(linesOf(rightsOverClusters));
  });

  it('are the same in each namespace that is watched, and none elsewhere', async () => {
    const objects = await render(twoNamespaces);
    for (const place of ['shop', 'bank']) {
      const here = objects.filter(({ metadata }) => metadata.namespace === place);
      const rules = rulesOf(here, 'Role', ['-resources', '-workloads', '-secrets']);
      expect(linesOf(rightsOf(rules))).toEqual(linesOf(rightsOverClusters));
    }
    const bound = objects.filter(({ kind }) => kind === 'ClusterRoleBinding').map(({ metadata }) => metadata.name);
    expect(bound).toEqual(['kafscale-operator-external-metrics']);
  });

  it('at home are the lease and its certificate', async () => {
    const rules = rulesOf(await render(), 'Role', ['-leader', '-certificate']);
    expect(linesOf(rightsOf(rules))).toEqual(linesOf(rightsAtHome('kafscale-operator')));
  });

  it('over the whole Kubernetes cluster are one object, and none without external metrics', async () => {
    const rules = rulesOf(await render(twoNamespaces), 'ClusterRole', ['-external-metrics']);
    expect(linesOf(rightsOf(rules))).toEqual(linesOf(rightsEverywhere));
    const objects = await render({ operator: { ...twoNamespaces.operator, externalMetrics: { enabled: false } } });
    expect(objects.filter(({ kind }) => kind === 'ClusterRoleBinding')).toEqual([]);
  });

  it('hold no asterisk', async () => {
    const rules = [...(await render(everything))].filter(({ kind }) => /Role$/.test(kind));
    expect(JSON.stringify(rules)).not.toContain('"*"');
  });
});

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

function undescribed({ description, properties }: Schema, path: string): readonly string[] {
  if (properties === undefined) return description === undefined ? [path] : [];
  return Object.entries(properties).flatMap(([name, schema]) => undescribed(schema, `${path}.${name}`));
}

async function deploymentOf(values: object, name: string): Promise<PodSpec> {
  const found = (await render(values)).find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === name);
  return podOf(found!)!;
}

const containerOf = ({ containers }: PodSpec) => containers[0]!;
