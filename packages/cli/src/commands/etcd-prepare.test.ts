import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { etcdPrepare } from './etcd-prepare.ts';
import { etcdSnapshot } from './etcd-snapshot.ts';

let folder: string;
const environment = process.env;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-prepare-'));
});

afterEach(async () => {
  process.env = environment;
  await rm(folder, { recursive: true, force: true });
});

const planOf = async (content: object): Promise<string> => {
  const file = join(folder, 'plan.json');
  await writeFile(file, JSON.stringify(content));
  return file;
};

const plan = {
  ...{ name: 'x-etcd', domain: 'x-etcd.shop.svc', members: 1, life: 1, token: 'uid-1', isInitialized: false },
  ...{ quotaBackendBytes: 2_147_483_648, autoCompactionRetention: '5m' },
};

test('a first member gets what it starts with, on every address of its pod', async () => {
  process.env = { ...environment, POD_NAME: 'x-etcd-0', POD_IP: '10.0.0.7' };
  await etcdPrepare({ plan: await planOf(plan), folder });
  const config = JSON.parse(await readFile(join(folder, 'etcd.json'), 'utf8')) as Record<string, unknown>;
  expect(config).toMatchObject({
    name: 'x-etcd-0',
    'data-dir': join(folder, 'etcd'),
    'listen-client-urls': 'http://0.0.0.0:2379',
    'advertise-client-urls': 'http://x-etcd-0.x-etcd.shop.svc:2379',
    'initial-cluster': 'x-etcd-0=http://x-etcd-0.x-etcd.shop.svc:2380',
    'initial-cluster-state': 'new',
    'quota-backend-bytes': 2_147_483_648,
  });
});

test('IPv6 is listened on where the pod has it', async () => {
  process.env = { ...environment, POD_NAME: 'x-etcd-0', POD_IP: 'fd00::7' };
  await etcdPrepare({ plan: await planOf(plan), folder });
  expect(await readFile(join(folder, 'etcd.json'), 'utf8')).toContain('http://[::]:2379');
});

test.each<[string, object, string | undefined, string]>([
  ['a pod without a name', plan, undefined, 'set POD_NAME'],
  ['another pod', plan, 'y-etcd-0', 'is no member of x-etcd'],
  ['a plan of somebody else', { members: 1 }, 'x-etcd-0', 'is not what the operator writes'],
])('%s is refused in words', async (_, content, member, message) => {
  const file = await planOf(content);
  await expect(etcdPrepare({ plan: file, folder, ...(member !== undefined && { member }) })).rejects.toThrow(message);
});

test('a snapshot needs a bucket, and a name that fits into a key', async () => {
  const options = { endpoints: ['http://127.0.0.1:1'], keep: 1 };
  await expect(etcdSnapshot({ ...options, cluster: '../other' })).rejects.toThrow('cannot name snapshots');
  await expect(etcdSnapshot({ ...options, cluster: 'x' })).rejects.toThrow('bucket');
});
