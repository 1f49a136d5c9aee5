/** The contract of MetadataStore on real etcd, the oldest version supported and a new one. */
import { seededRandom, systemClock } from '@kafscale/runtime';
import { anyEtcd, type EtcdVersion } from '@kafscale/testkit';
import { credentials } from '@grpc/grpc-js';
import { describeMetadataStoreContract } from '../metadata-store.contract.ts';
import { EtcdMetadataStore } from './etcd-metadata-store.ts';

describe.each<EtcdVersion>(['debian', 'newest'])('etcd (%s)', (version) => {
  let etcd: Awaited<ReturnType<typeof anyEtcd>>;
  let clusters = 0;

  beforeAll(async () => {
    etcd = await anyEtcd({ version });
  });
  afterAll(() => etcd.close());

  describeMetadataStoreContract('EtcdMetadataStore', async () => {
    clusters += 1;
    const store = await EtcdMetadataStore.open({
      endpoints: etcd.endpoints,
      credentials: credentials.createInsecure(),
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
});
