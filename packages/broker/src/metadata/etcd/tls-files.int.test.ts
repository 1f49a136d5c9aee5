/** Certificates made by openssl that change, are missing and do not fit together while a broker runs. */
import { silentLogger, type Logger } from '@kafscale/runtime';
import { makeTestCertificates } from '@kafscale/testkit';
import { copyFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TlsFiles, type TlsFileNames } from './tls-files.ts';

describe('the TLS files for etcd', () => {
  let folder: string;
  let names: Required<TlsFileNames>;
  let said: string[];
  let logger: Logger;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kafscale-tls-'));
    const { caFile, client } = await makeTestCertificates(folder, 'kafscale');
    names = { etcdCaFile: caFile, etcdCertFile: client.certFile, etcdKeyFile: client.keyFile };
    said = [];
    const say = (_: unknown, message: string) => void said.push(message);
    logger = { ...silentLogger, info: say, warn: say } as unknown as Logger;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('give the same credentials while they are the same, and others when one has changed', async () => {
    const files = new TlsFiles(names, logger);
    const before = files.current();
    await copyFile(names.etcdCertFile!, `${folder}/copy`);
    await rename(`${folder}/copy`, names.etcdCertFile!);
    expect(files.current()).toBe(before);
    await makeTestCertificates(folder, 'kafscale');
    const after = files.current();
    expect(after).not.toBe(before);
    expect(files.current()).toBe(after);
    expect(said).toEqual(['the TLS files for etcd have changed; new connections use them']);
  });

  it('give the last good ones while they are being replaced, and say so once', async () => {
    const files = new TlsFiles(names, logger);
    const before = files.current();
    const key = `${folder}/old-key`;
    await rename(names.etcdKeyFile!, key);
    expect([files.current(), files.current()]).toEqual([before, before]);
    expect(said).toEqual(['the TLS files for etcd cannot be used; going on with the ones before']);
    await rename(key, names.etcdKeyFile!);
    // The new certificate has come, its key has not.
    await copyFile(names.etcdKeyFile!, key);
    await makeTestCertificates(folder, 'kafscale');
    await rename(names.etcdKeyFile!, `${folder}/new-key`);
    await copyFile(key, names.etcdKeyFile!);
    expect(files.current()).toBe(before);
    await rename(`${folder}/new-key`, names.etcdKeyFile!);
    expect(files.current()).not.toBe(before);
    expect(said).toHaveLength(3);
  });

  it('stop a start, which has no others, with the name of the variable', async () => {
    expect(() => new TlsFiles({ etcdCaFile: '/nowhere.pem' })).toThrow(/KAFSCALE_ETCD_CA_FILE: \/nowhere.pem/);
    await writeFile(names.etcdKeyFile!, 'no key');
    expect(() => new TlsFiles(names)).toThrow(/do not fit together/);
  });
});
