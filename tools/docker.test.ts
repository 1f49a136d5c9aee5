import { brokerConfigSchema } from '@kafscale/protocol';
import { environmentNames } from '@kafscale/runtime';
import { readFileSync } from 'node:fs';
import type { z } from 'zod';

const root = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

describe('the files for Docker', () => {
  it('set only variables that a broker knows', () => {
    const known = Object.values(brokerConfigSchema.shape).flatMap((type) => environmentNames(type as z.ZodType));
    const used = [...read('docker-compose.yaml').matchAll(/KAFSCALE_[A-Z0-9_]+/g)].map(([name]) => name);
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('build the versions of etcd and MinIO that the tests run', () => {
    const pins = read('packages/runtime/src/programs/store-programs.ts');
    const version = (name: string): string => new RegExp(`${name} = '(.+?)'`).exec(pins)![1]!;
    expect(read('docker/etcd.Dockerfile')).toContain(`go.etcd.io/etcd/server/v3 ${version('newestEtcdVersion')}`);
    expect(read('docker/minio.Dockerfile')).toContain(`github.com/minio/minio ${version('minioVersion')}`);
  });

  it('copy nothing that was built on the machine', () => {
    const ignored = read('.dockerignore').split('\n');
    for (const folder of ['**/node_modules', '**/dist', '**/*.tsbuildinfo']) expect(ignored).toContain(folder);
  });
});
