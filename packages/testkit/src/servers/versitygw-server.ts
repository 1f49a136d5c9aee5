/** Versity's S3 gateway over a folder, built from its Go module; `KAFSCALE_TEST_VERSITYGW` names another build of it. */
import { goPrograms } from '@kafscale/runtime';
import { join } from 'node:path';
import { S3Server, type S3Make, type S3ServerSettings } from './s3-server.ts';

const versitygwVersion = 'v1.8.0';

/** Path of the program. */
export async function buildVersitygw(): Promise<string> {
  const chosen = process.env['KAFSCALE_TEST_VERSITYGW'];
  if (chosen !== undefined && chosen !== '') return chosen;
  const modules = { 'github.com/versity/versitygw': versitygwVersion };
  const programs = { versitygw: 'github.com/versity/versitygw/cmd/versitygw' };
  return join(await goPrograms({ name: 'versitygw', modules, programs }), 'versitygw');
}

const versitygw: S3Make = {
  name: 'versitygw',
  region: 'us-east-1',
  program: buildVersitygw,
  args: ({ port, dataFolder }) => ['--port', `127.0.0.1:${port}`, 'posix', dataFolder],
  env: ({ accessKey, secretKey }) => ({ ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey }),
  ready: /service listening on/,
};

export const startVersitygw = (settings?: S3ServerSettings): Promise<S3Server> => S3Server.start(versitygw, settings);
