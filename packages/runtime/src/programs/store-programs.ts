/**
 * The stores of a cluster that is tried out or tested, as programs built from their Go modules: which versions, and nothing about
 * how they are started.
 */
import { join } from 'node:path';
import { goPrograms, type Announce } from './go-programs.ts';

export const newestEtcdVersion = 'v3.6.16';
/** The line before, which most clusters still run: its newest patch. */
export const previousEtcdVersion = 'v3.5.35';
const minioVersion = 'v0.0.0-20260212201848-7aac2a2c5b7c';

/** The folder with `etcd`, `etcdctl` and `etcdutl`. */
export function buildEtcd(version: string, announce?: Announce): Promise<string> {
  const packages = {
    etcd: 'go.etcd.io/etcd/server/v3',
    etcdctl: 'go.etcd.io/etcd/etcdctl/v3',
    etcdutl: 'go.etcd.io/etcd/etcdutl/v3',
  };
  const modules = Object.fromEntries(Object.values(packages).map((path) => [path, version]));
  return goPrograms({ name: 'etcd', modules, programs: packages }, announce);
}

/** Path of the MinIO server. */
export async function buildMinio(announce?: Announce): Promise<string> {
  const modulePath = 'github.com/minio/minio';
  const modules = { [modulePath]: minioVersion };
  return join(await goPrograms({ name: 'minio', modules, programs: { minio: modulePath } }, announce), 'minio');
}
