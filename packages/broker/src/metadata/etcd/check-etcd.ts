/** What is found out about etcd before a broker rests on it: that it answers, its version, and that we may read and write our keys. */
import { MetadataError } from '../metadata-error.ts';
import type { EtcdClient } from './client.ts';
import { encodeTransaction } from './encode-request.ts';
import { isHopeless } from './failure.ts';
import type { EtcdKeys } from './keys.ts';
import { etcdMethods } from './methods.ts';

const oldestVersion = [3, 4] as const;
/** etcd may be starting at the same time. */
const patienceCalls = 2;

/** Throws MetadataError that says what to do. */
export async function checkEtcd(client: EtcdClient, keys: EtcdKeys): Promise<void> {
  const version = await askVersion(client);
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < oldestVersion[0] || (major === oldestVersion[0] && minor < oldestVersion[1])) {
    throw new MetadataError('invalid', `etcd ${version} is too old: 3.4 or newer is needed`);
  }
  await checkPermission(client, keys);
}

async function askVersion(client: EtcdClient): Promise<string> {
  const encoded = etcdMethods.status.encode({});
  for (let call = 1; ; call += 1) {
    try {
      return (await client.call(etcdMethods.status, encoded, { attempts: 'several' })).answer.version;
    } catch (error) {
      if (call === patienceCalls || (error instanceof MetadataError && isHopeless(error))) throw error;
    }
  }
}

/** A transaction that never writes, since its compare cannot hold, but for which etcd checks the right to read and write. */
async function checkPermission(client: EtcdClient, keys: EtcdKeys): Promise<void> {
  const key = 'permission-check';
  const encoded = encodeTransaction(keys, {
    compare: [{ key, target: 'version', operator: '<', operand: 0 }],
    success: [{ type: 'put', key, value: new Uint8Array() }],
  });
  await client.call(etcdMethods.txn, encoded, { attempts: 'several' });
}
