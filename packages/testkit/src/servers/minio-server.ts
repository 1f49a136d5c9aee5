/** MinIO, built from its Go module; `KAFSCALE_TEST_MINIO` names another build of it. */
import { join } from 'node:path';
import { goPrograms } from './go-program.ts';
import { S3Server, type S3Make, type S3ServerSettings } from './s3-server.ts';

const minioVersion = 'v0.0.0-20260212201848-7aac2a2c5b7c';

/** Path of the program. */
export async function buildMinio(): Promise<string> {
  const chosen = process.env['KAFSCALE_TEST_MINIO'];
  if (chosen !== undefined && chosen !== '') return chosen;
  const modulePath = 'github.com/minio/minio';
  const modules = { [modulePath]: minioVersion };
  return join(await goPrograms({ name: 'minio', modules, programs: { minio: modulePath } }), 'minio');
}

const minio: S3Make = {
  name: 'MinIO',
  region: 'us-east-1',
  program: buildMinio,
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
