import { jest } from '@jest/globals';
import { startMinio } from './minio-server.ts';
import { s3Request } from './s3-request.ts';
import type { S3Server } from './s3-server.ts';
import { startVersitygw } from './versitygw-server.ts';

const minutes = 60_000;
// Servers are built here when they were not before.
jest.setTimeout(25 * minutes);

describe.each([
  ['MinIO', startMinio],
  ['versitygw', startVersitygw],
])('a real S3 server (%s)', (_, start) => {
  let server: S3Server;
  beforeAll(async () => {
    server = await start({ buckets: ['bucket'] });
  });
  afterAll(() => server.close());

  it('keeps an object with an odd name through kill -9', async () => {
    const path = "bucket/a folder/it's (one)+ö.kfs";
    const put = await server.request({ method: 'PUT', path, body: Buffer.from('bytes') });
    expect(put.status).toBe(200);
    await server.kill();
    await server.restart();
    const answer = await server.request({ method: 'GET', path, headers: { range: 'bytes=1-3' } });
    expect(answer.status).toBe(206);
    await expect(answer.text()).resolves.toBe('yte');
  });

  it('makes the bucket that is there already without complaint', async () => {
    await expect(server.createBucket('bucket')).resolves.toBeUndefined();
  });

  it('lists by prefix', async () => {
    for (const name of ['list/b', 'list/a', 'other']) await server.request({ method: 'PUT', path: `bucket/${name}` });
    const query = { 'list-type': '2', prefix: 'list/' };
    const listed = await (await server.request({ method: 'GET', path: 'bucket', query })).text();
    expect([...listed.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key]) => key)).toEqual(['list/a', 'list/b']);
  });

  it('refuses another secret', async () => {
    const { endpoint, region, accessKey } = server;
    const stranger = { endpoint, region, accessKey, secretKey: 'wrong-secret' };
    expect((await s3Request(stranger, { method: 'GET', path: 'bucket' })).status).toBe(403);
  });
});
