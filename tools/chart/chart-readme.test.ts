import { repositoryFolder } from '@kafscale/testkit';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { parse } from 'yaml';
import { chartReadme, chartReadmePath } from './chart-readme.ts';

const at = (path: string): string => join(repositoryFolder(), path);

describe("the chart's page", () => {
  it('is what schema and values say (npm run generate-docs)', async () => {
    const path = at(chartReadmePath);
    const expected = await format(chartReadme(), { ...(await resolveConfig(path)), parser: 'markdown' });
    expect(readFileSync(path, 'utf8')).toBe(expected);
  });
});

describe('the version of the chart', () => {
  it('is the one of the repository', () => {
    const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { readonly version: string };
    const chart = parse(readFileSync(at('charts/kafscale/Chart.yaml'), 'utf8')) as Readonly<Record<string, string>>;
    expect([chart['version'], chart['appVersion']]).toEqual([version, version]);
  });

  it('of etcd is the one that the tests run', () => {
    const { etcdImage } = parse(readFileSync(at('charts/kafscale/values.yaml'), 'utf8')) as {
      readonly etcdImage: { readonly tag: string };
    };
    expect(readFileSync(at('docker/etcd.Dockerfile'), 'utf8')).toContain(`go.etcd.io/etcd/server/v3 v${etcdImage.tag}`);
  });
});
