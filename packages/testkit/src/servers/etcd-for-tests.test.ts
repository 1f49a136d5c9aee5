import { etcdChoices, givenEtcdEndpoints } from './etcd-for-tests.ts';

describe('the etcd that tests run on', () => {
  it('is every version of ours unless addresses are given', () => {
    expect(etcdChoices(undefined, {}).map(({ name }) => name)).toEqual([
      'etcd (debian)',
      'etcd (previous)',
      'etcd (newest)',
    ]);
    expect(givenEtcdEndpoints({ KAFSCALE_TEST_ETCD_ENDPOINTS: ' ' })).toBeUndefined();
  });

  it('is the one at the addresses, in whichever way they are written', async () => {
    const env = { KAFSCALE_TEST_ETCD_ENDPOINTS: 'http://a:2379/, b:2379' };
    const [given, ...others] = etcdChoices(undefined, env);
    expect(others).toEqual([]);
    expect(await given.start()).toMatchObject({ endpoints: ['a:2379', 'b:2379'] });
  });
});
