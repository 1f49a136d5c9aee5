/** The contract of MetadataStore on real etcd of every line that is supported. */
import { seededRandom, systemClock } from '@kafscale/runtime';
import { etcdChoices, type EtcdForTests } from '@kafscale/testkit';
import { credentials } from '@grpc/grpc-js';
import { describeMetadataStoreContract } from '../metadata-store.contract.ts';
import type { WatchBatch } from '../metadata-store.ts';
import { EtcdMetadataStore } from './etcd-metadata-store.ts';

describe.each(etcdChoices())('$name', ({ start }) => {
  let etcd: EtcdForTests;
  let clusters = 0;

  beforeAll(async () => {
    etcd = await start();
  });
  afterAll(() => etcd.close());

  describeMetadataStoreContract('EtcdMetadataStore', async () => {
    clusters += 1;
    const store = await EtcdMetadataStore.open({
      endpoints: etcd.endpoints,
      credentials: () => credentials.createInsecure(),
      prefix: `/contract/${process.pid}-${clusters}/`,
      clock: systemClock,
      random: seededRandom(clusters),
    });
    return {
      store,
      passTime: (durationMs) => systemClock.sleep(durationMs),
      close: () => store.close(),
    };
  });

  it('keeps clusters apart that share an etcd, whatever range is asked for', async () => {
    const of = (prefix: string) =>
      EtcdMetadataStore.open({
        endpoints: etcd.endpoints,
        credentials: () => credentials.createInsecure(),
        prefix: `/apart/${process.pid}/${prefix}`,
        clock: systemClock,
        random: seededRandom(1),
      });
    const [first, second] = [await of('a/'), await of('ab/')];
    const put = (key: string) => ({ type: 'put' as const, key, value: Buffer.from('x') });
    const { revision } = await first.transact({ compare: [], success: [put('k/1'), put('\u{10ffff}')] });
    await second.transact({ compare: [], success: [put('k/1'), put('k/2')] });
    const everything = { key: '\0', end: '\u{10ffff}\0' };
    const keysOf = async (store: EtcdMetadataStore) => (await store.range(everything)).items.map(({ key }) => key);
    expect(await keysOf(first)).toEqual(['k/1', '\u{10ffff}']);
    await first.transact({ compare: [], success: [{ type: 'delete', ...everything }] });
    expect([await keysOf(first), await keysOf(second)]).toEqual([[], ['k/1', 'k/2']]);
    const watch = second.watch(everything, revision, new AbortController().signal)[Symbol.asyncIterator]();
    const batch = (await watch.next()).value as WatchBatch;
    expect(batch.events.map((event) => (event.type === 'put' ? event.kv.key : event.key))).toEqual(['k/1', 'k/2']);
    await Promise.all([first.close(), second.close()]);
  });
});
