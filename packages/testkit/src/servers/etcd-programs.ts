/**
 * Which etcd tests run: the oldest that is supported, from Debian's packages, or a newer one built from its Go modules.
 * `KAFSCALE_TEST_ETCD` is a folder with another build of `etcd`, `etcdctl` and `etcdutl`, which then stands for all of them;
 * `KAFSCALE_TEST_ETCD_VERSION` is the one that tests get which do not ask for one.
 */
import { buildEtcd, newestEtcdVersion, previousEtcdVersion, ProgramError } from '@kafscale/runtime';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** `debian`: 3.4 of Debian 12. `previous` and `newest`: 3.5 and 3.6 from the Go modules. */
export const etcdVersions = ['debian', 'previous', 'newest'] as const;
export type EtcdVersion = (typeof etcdVersions)[number];

export interface EtcdPrograms {
  readonly etcd: string;
  readonly etcdctl: string;
  /** What restores a snapshot: etcdctl itself in 3.4. */
  readonly etcdutl: string;
}

/** Throws ProgramError that says what to install. */
export async function etcdPrograms(version: EtcdVersion): Promise<EtcdPrograms> {
  const chosen = process.env['KAFSCALE_TEST_ETCD'];
  if (chosen !== undefined && chosen !== '') return programsIn(chosen);
  if (version !== 'debian') {
    return programsIn(await buildEtcd(version === 'newest' ? newestEtcdVersion : previousEtcdVersion));
  }
  const programs = programsIn('/usr/bin');
  if (!existsSync(programs.etcd) || !existsSync(programs.etcdctl)) {
    throw new ProgramError('etcd is not installed: apt-get install etcd-server etcd-client');
  }
  return programs;
}

/** What a test gets that asks for no version. */
export function defaultEtcdVersion(): EtcdVersion {
  const named = process.env['KAFSCALE_TEST_ETCD_VERSION'] ?? '';
  const version = named === '' ? 'debian' : etcdVersions.find((known) => known === named);
  if (version === undefined) {
    throw new ProgramError(`KAFSCALE_TEST_ETCD_VERSION is ${named}; there are ${etcdVersions.join(', ')}`);
  }
  return version;
}

function programsIn(folder: string): EtcdPrograms {
  const etcdctl = join(folder, 'etcdctl');
  const etcdutl = join(folder, 'etcdutl');
  return { etcd: join(folder, 'etcd'), etcdctl, etcdutl: existsSync(etcdutl) ? etcdutl : etcdctl };
}
