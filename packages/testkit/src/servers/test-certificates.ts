/** Certificates for servers under test, made by openssl: an authority, a server's for this machine and a client's. */
import { runProgram } from '@kafscale/runtime';
import { join } from 'node:path';

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TestCertificates {
  /** What signs the two others. */
  readonly caFile: string;
  readonly server: CertificateFiles;
  readonly client: CertificateFiles;
}

const daysValid = 30;

/** PEM files in `folder`; `clientName` is the common name in the client's certificate, which etcd takes as its user. */
export async function makeTestCertificates(folder: string, clientName: string): Promise<TestCertificates> {
  const ca = files(folder, 'ca');
  await request(ca, '/CN=KafScale test authority', ['-addext', 'keyUsage=critical,keyCertSign,cRLSign']);
  const signed = ['-CA', ca.certFile, '-CAkey', ca.keyFile, '-addext', 'basicConstraints=critical,CA:FALSE'];
  const [server, client] = [files(folder, 'server'), files(folder, 'client')];
  // etcd's members are each other's clients with the same certificate.
  await request(server, '/CN=localhost', [
    ...signed,
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
    ...['-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
  ]);
  await request(client, `/CN=${clientName}`, [...signed, '-addext', 'extendedKeyUsage=clientAuth']);
  return { caFile: ca.certFile, server, client };
}

const files = (folder: string, name: string): CertificateFiles => ({
  certFile: join(folder, `${name}.pem`),
  keyFile: join(folder, `${name}-key.pem`),
});

async function request({ certFile, keyFile }: CertificateFiles, subject: string, more: readonly string[]) {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  await runProgram('openssl', [
    ...['req', '-x509', ...key, '-out', certFile, '-days', String(daysValid), '-subj', subject],
    ...more,
  ]);
}
