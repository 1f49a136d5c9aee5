/**
 * Which etcd tests run: the oldest that is supported, from Debian's packages, or a new one built from its Go modules.
 * `KAFSCALE_TEST_ETCD` is a folder with another build of `etcd`, `etcdctl` and `etcdutl`, which then stands for both.
 */
import { buildNewestEtcd, ProgramError } from '@kafscale/runtime';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** `debian`: 3.4 of Debian 12. `newest`: 3.6 from the Go modules. */
export type EtcdVersion = 'debian' | 'newest';

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
  if (version === 'newest') return programsIn(await buildNewestEtcd());
  const programs = programsIn('/usr/bin');
  if (!existsSync(programs.etcd) || !existsSync(programs.etcdctl)) {
    throw new ProgramError('etcd is not installed: apt-get install etcd-server etcd-client');
  }
  return programs;
}

function programsIn(folder: string): EtcdPrograms {
  const etcdctl = join(folder, 'etcdctl');
  const etcdutl = join(folder, 'etcdutl');
  return { etcd: join(folder, 'etcd'), etcdctl, etcdutl: existsSync(etcdutl) ? etcdutl : etcdctl };
}
