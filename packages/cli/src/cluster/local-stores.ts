/** One etcd and one MinIO on free ports of this machine, with their data in a folder, and how a broker is told about them. */
import { ChildServer, freePort } from '@kafscale/runtime';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StorePrograms } from './store-programs.ts';

/** Only this machine reaches the server that takes them. */
const accessKey = 'kafscale';
const secretKey = 'kafscale-secret';
const bucket = 'kafscale';
const host = '127.0.0.1';

export interface LocalStores {
  readonly etcd: ChildServer;
  readonly minio: ChildServer;
  readonly etcdEndpoint: string;
  readonly s3Endpoint: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** Starts both or none. Rejects with the end of the log of the one that did not start. */
export async function startLocalStores(folder: string, programs: StorePrograms): Promise<LocalStores> {
  const [etcdPort, peerPort, s3Port] = [await freePort(), await freePort(), await freePort()];
  // A folder at the top is a bucket to MinIO.
  await mkdir(join(folder, 'minio', bucket), { recursive: true });
  const etcd = await startEtcd(folder, programs.etcd, etcdPort, peerPort);
  try {
    const minio = await ChildServer.start({
      name: 'MinIO',
      program: programs.minio,
      args: ['server', '--address', `${host}:${s3Port}`, '--console-address', `${host}:0`, join(folder, 'minio')],
      env: { MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
      logFile: join(folder, 'minio.log'),
      ready: /API: http/,
      ownGroup: true,
    });
    const s3Endpoint = `http://${host}:${s3Port}`;
    return { etcd, minio, etcdEndpoint: `http://${host}:${etcdPort}`, s3Endpoint, bucket, accessKey, secretKey };
  } catch (error) {
    await etcd.kill();
    throw error;
  }
}

function startEtcd(folder: string, program: string, clientPort: number, peerPort: number): Promise<ChildServer> {
  const [clientUrl, peerUrl] = [`http://${host}:${clientPort}`, `http://${host}:${peerPort}`];
  return ChildServer.start({
    name: 'etcd',
    program,
    args: [
      ...['--name', 'local', '--data-dir', join(folder, 'etcd'), '--logger', 'zap'],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
      ...['--initial-cluster', `local=${peerUrl}`],
      ...['--auto-compaction-mode', 'periodic', '--auto-compaction-retention', '5m'],
    ],
    logFile: join(folder, 'etcd.log'),
    ready: /serving client traffic/,
    ownGroup: true,
  });
}

/** The variables by which a broker finds them. */
export function storeVariables(stores: LocalStores): Readonly<Record<string, string>> {
  return {
    KAFSCALE_ETCD_ENDPOINTS: stores.etcdEndpoint,
    KAFSCALE_S3_ENDPOINT: stores.s3Endpoint,
    KAFSCALE_S3_BUCKET: stores.bucket,
    KAFSCALE_S3_REGION: 'us-east-1',
    KAFSCALE_S3_ACCESS_KEY: stores.accessKey,
    KAFSCALE_S3_SECRET_KEY: stores.secretKey,
  };
}
