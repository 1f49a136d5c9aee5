/** MinIO, built from its Go module; `KAFSCALE_TEST_MINIO` names another build of it. */
import { buildMinio } from '@kafscale/runtime';
import { S3Server, type S3Make, type S3ServerSettings } from './s3-server.ts';

/** Path of the program. */
function minioProgram(): Promise<string> {
  const chosen = process.env['KAFSCALE_TEST_MINIO'];
  return chosen !== undefined && chosen !== '' ? Promise.resolve(chosen) : buildMinio();
}

const minio: S3Make = {
  name: 'MinIO',
  region: 'us-east-1',
  program: minioProgram,
  args: ({ port, dataFolder }) => [
    'server',
    '--address',
    `127.0.0.1:${port}`,
    '--console-address',
    '127.0.0.1:0',
    dataFolder,
  ],
  env: ({ accessKey, secretKey }) => ({
    MINIO_ROOT_USER: accessKey,
    MINIO_ROOT_PASSWORD: secretKey,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
  }),
  ready: /API: http/,
};

export const startMinio = (settings?: S3ServerSettings): Promise<S3Server> => S3Server.start(minio, settings);
