/** etcd and MinIO for a cluster on this machine: installed, built earlier, or built now. */
import { buildEtcd, buildMinio, findProgram, newestEtcdVersion, systemClock } from '@kafscale/runtime';
import { join } from 'node:path';
import { CommandError } from '../output.ts';
import { note, withProgress } from '../progress.ts';

export interface StorePrograms {
  readonly etcd: string;
  readonly minio: string;
}

/** Throws CommandError that says what to install. */
export async function findStorePrograms(): Promise<StorePrograms> {
  const etcd = findProgram('etcd') ?? join(await built('etcd', () => buildEtcd(newestEtcdVersion, note)), 'etcd');
  const minio = findProgram('minio') ?? (await built('MinIO', () => buildMinio(note)));
  return { etcd, minio };
}

async function built(name: string, build: () => Promise<string>): Promise<string> {
  try {
    return await withProgress(`Getting ${name} ready`, build, systemClock);
  } catch (error) {
    const reason =
      findProgram('go') === undefined
        ? 'and go, which would build it, is not installed either'
        : 'and it could not be built';
    throw new CommandError(
      `${name} is not installed, ${reason}. Do one of these:

  - install etcd and MinIO so that \`etcd\` and \`minio\` are on your PATH (Debian: apt-get install etcd-server; MinIO: min.io)
  - install Go 1.24 or newer and run this again
  - run \`kafscale cluster --stores embedded\`, which needs neither: the brokers then share one process and one folder${
    reason.includes('built') && error instanceof Error ? `\n\nWhat the build said:\n${error.message}` : ''
  }`,
      { cause: error },
    );
  }
}
