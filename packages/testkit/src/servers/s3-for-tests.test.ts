import { s3Choices } from './s3-for-tests.ts';

const given = {
  KAFSCALE_TEST_S3_BUCKET: 'mine',
  KAFSCALE_TEST_S3_ACCESS_KEY: 'key',
  KAFSCALE_TEST_S3_SECRET_KEY: 'secret',
};

describe('the S3 that tests run on', () => {
  it('is two servers of our own unless a bucket is named', () => {
    expect(s3Choices({}).map(({ name, isOwn }) => [name, isOwn])).toEqual([
      ['MinIO', true],
      ['versitygw', true],
    ]);
    expect(s3Choices({ KAFSCALE_TEST_S3_BUCKET: '' })).toHaveLength(2);
  });

  it('is the named bucket alone, in which each test gets a place of its own', async () => {
    const [choice, ...others] = s3Choices({ ...given, KAFSCALE_TEST_S3_ENDPOINT: 'http://127.0.0.1:9000/' });
    expect(others).toEqual([]);
    expect(choice).toMatchObject({ name: 'bucket mine at http://127.0.0.1:9000', isOwn: false });
    const s3 = await choice.start();
    expect(s3).toMatchObject({ own: undefined, pathStyle: true, access: { region: 'us-east-1', accessKey: 'key' } });
    const [first, second] = [await s3.freshPlace(), await s3.freshPlace()];
    expect(first).toMatchObject({ bucket: 'mine', prefix: expect.stringMatching(/^kafscale-test-[^/]+\/$/) as string });
    expect(second.prefix).not.toBe(first.prefix);
  });

  it('is AWS where no endpoint is named', async () => {
    const s3 = await s3Choices({ ...given, KAFSCALE_TEST_S3_REGION: 'eu-central-1' })[0].start();
    expect(s3).toMatchObject({ pathStyle: false, access: { endpoint: 'https://s3.eu-central-1.amazonaws.com' } });
  });

  it('says what is missing, rather than to test something else', () => {
    expect(() => s3Choices({ KAFSCALE_TEST_S3_ENDPOINT: 'http://here' })).toThrow(/needs KAFSCALE_TEST_S3_BUCKET/);
    expect(() => s3Choices({ ...given, KAFSCALE_TEST_S3_SECRET_KEY: '' })).toThrow(/KAFSCALE_TEST_S3_SECRET_KEY/);
  });
});
