import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cryptoRandom } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { EmbeddedMetadataStore } from './embedded-metadata-store.ts';
import { describeMetadataStoreContract } from './metadata-store.contract.ts';

const makeFolder = () => mkdtemp(join(tmpdir(), 'kafscale-metadata-'));

describeMetadataStoreContract('EmbeddedMetadataStore', async () => {
  const clock = new FakeClock();
  const folder = await makeFolder();
  const store = await EmbeddedMetadataStore.open({ folder, clock, random: cryptoRandom });
  return {
    store,
    async passTime(durationMs) {
      await clock.advanceAsync(durationMs);
      await store.transact({ compare: [], success: [] }); // answered when the ends of leases are on the disk
    },
    async close() {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
