import { jest } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../eventually.ts';
import { etcdVersions } from './etcd-programs.ts';
import { EtcdServer } from './etcd-server.ts';

const minutes = 60_000;
// The newest etcd is built here when it was not before.
jest.setTimeout(25 * minutes);

describe.each(etcdVersions)('a real etcd (%s)', (version) => {
  let etcd: EtcdServer;
  afterEach(() => etcd.close());

  const valueOf = async (key: string): Promise<string> => (await etcd.etcdctl('get', key, '--print-value-only')).trim();

  it('keeps what it has through kill -9, and goes back to a snapshot', async () => {
    etcd = await EtcdServer.start({ version, durable: false, quotaBytes: 64 * 2 ** 20 });
    const file = join(etcd.folder, 'snapshot');
    await etcd.etcdctl('put', 'key', 'old');
    await etcd.snapshot(file);
    await etcd.etcdctl('put', 'key', 'new');
    await etcd.killAll();
    await etcd.startAll();
    await expect(valueOf('key')).resolves.toBe('new');
    expect(await etcd.databaseBytes()).toBeGreaterThan(0);

    await etcd.restore(file);
    await expect(valueOf('key')).resolves.toBe('old');
    await rm(file);
    await etcd.wipe();
    await expect(valueOf('key')).resolves.toBe('');
  });

  it('elects another leader when the leader is killed', async () => {
    etcd = await EtcdServer.start({ version, members: 3, durable: false });
    const first = await etcd.leader();
    await first.kill();
    const led = (): Promise<boolean> =>
      etcd.leader().then(
        (leader) => leader !== first,
        () => false,
      );
    await eventually('another member leads', led, 30_000);
    await expect(etcd.etcdctl('put', 'key', 'value')).resolves.toContain('OK');
    await first.start();
    expect(etcd.members.every(({ running }) => running)).toBe(true);
  });

  it('checks certificates and passwords, and limits users to their prefixes', async () => {
    etcd = await EtcdServer.start({
      version,
      durable: false,
      tls: 'mutual',
      users: [{ name: 'kafscale', password: 'secret', prefixes: ['/kafscale/'] }],
    });
    await expect(etcd.etcdctl('put', '/other', 'value')).resolves.toContain('OK'); // as root
    const asUser = (key: string): Promise<string> => etcd.etcdctl('--user', 'kafscale:secret', 'put', key, 'value');
    await expect(asUser('/kafscale/key')).resolves.toContain('OK');
    await expect(asUser('/other')).rejects.toThrow('permission denied');
  });
});
