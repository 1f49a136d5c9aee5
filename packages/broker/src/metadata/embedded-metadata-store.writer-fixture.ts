/**
 * A process that writes until it is killed, started by embedded-metadata-store.test.ts: four writers raise two keys each, both in
 * one transaction, and tell every acknowledged number. Arguments: the folder.
 */
import { writeSync } from 'node:fs';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { EmbeddedMetadataStore } from './embedded-metadata-store.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('no folder given');
const store = await EmbeddedMetadataStore.open({ folder, clock: systemClock, random: cryptoRandom });

const put = (key: string, value: number, leaseId?: string) => ({
  type: 'put' as const,
  key,
  value: Buffer.from(`${value}`),
  ...(leaseId === undefined ? {} : { leaseId }),
});

const leaseId = await store.grantLease(3_600_000);
await store.transact({ compare: [], success: [put('session', process.pid, leaseId)] });
writeSync(1, 'ready\n');

async function write(writer: number): Promise<never> {
  const { items } = await store.range({ key: `left/${writer}` });
  let number = items[0] === undefined ? 0 : Number(Buffer.from(items[0].value).toString());
  for (;;) {
    number += 1;
    const success = [
      put(`left/${writer}`, number),
      put(`right/${writer}`, number),
      put(`all/${writer}/${number}`, number),
    ];
    const { revision } = await store.transact({ compare: [], success });
    writeSync(1, `${writer} ${number} ${revision}\n`);
  }
}
await Promise.all([0, 1, 2, 3].map((writer) => write(writer)));
