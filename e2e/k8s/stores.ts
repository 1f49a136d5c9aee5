/** An etcd of one member and a MinIO with a bucket, in the namespace of a scenario. What they hold ends with their pods. */
import { s3Request } from '@kafscale/testkit';
import { images } from './images.ts';
import { deployment, service } from './manifests.ts';
import type { Scenario } from './scenario.ts';

const region = 'us-east-1';
const bucket = 'records';
const accessKey = 'kafscale';
const secretKey = 'kafscale-secret';

/** The parts of a cluster's resource that name the stores. */
export interface StoresOfCluster {
  readonly s3: {
    readonly bucket: string;
    readonly region: string;
    readonly endpoint: string;
    readonly credentialsSecretRef: { readonly name: string };
  };
  readonly etcd: { readonly endpoints: readonly string[] };
}

/** Resolves when both serve and the bucket is there. */
export async function startStores(scenario: Scenario): Promise<StoresOfCluster> {
  const etcdUrl = 'http://0.0.0.0:2379';
  await scenario.apply(
    deployment(scenario.place('etcd'), 1, {
      image: images.etcd,
      args: ['--data-dir=/data/etcd', `--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
      folders: ['/data'],
      ready: { path: '/health', port: 2379 },
    }),
    service(scenario.place('etcd'), { client: 2379 }),
    deployment(scenario.place('minio'), 1, {
      image: images.minio,
      env: { MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
      folders: ['/data', '/tmp'],
      ready: { path: '/minio/health/ready', port: 9000 },
    }),
    service(scenario.place('minio'), { s3: 9000 }),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: scenario.place('s3'),
      stringData: { KAFSCALE_S3_ACCESS_KEY: accessKey, KAFSCALE_S3_SECRET_KEY: secretKey },
    },
  );
  await Promise.all([scenario.rolledOut('etcd'), scenario.rolledOut('minio')]);
  const endpoint = `http://${await scenario.clusterIp('minio')}:9000`;
  const made = await s3Request({ endpoint, region, accessKey, secretKey }, { method: 'PUT', path: bucket });
  if (made.status !== 200) throw new Error(`the bucket was not made: ${made.status}`);
  const { namespace } = scenario;
  return {
    s3: { bucket, region, endpoint: `http://minio.${namespace}.svc:9000`, credentialsSecretRef: { name: 's3' } },
    etcd: { endpoints: [`http://etcd.${namespace}.svc:2379`] },
  };
}
