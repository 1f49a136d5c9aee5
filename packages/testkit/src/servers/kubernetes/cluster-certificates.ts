/**
 * What the parts of a Kubernetes cluster know each other by, made by openssl: one authority, the certificate of what serves, a client
 * certificate per user, and the key that signs service account tokens. All for a cluster that lives for hours.
 */
import { runProgram } from '@kafscale/runtime';
import { join } from 'node:path';
import type { CertificateFiles } from '../test-certificates.ts';

const daysValid = 30;

/** A user as the API server takes it from a client certificate. */
export interface ClusterUser {
  readonly name: string;
  readonly group?: string;
}

export class ClusterCertificates {
  readonly #folder: string;
  readonly authority: CertificateFiles;
  /** Signs the tokens of service accounts; the API server and the controllers share it. */
  readonly serviceAccountKey: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.authority = certificateFiles(folder, 'authority');
    this.serviceAccountKey = join(folder, 'service-accounts-key.pem');
  }

  /** PEM files in `folder`. */
  static async make(folder: string): Promise<ClusterCertificates> {
    const made = new ClusterCertificates(folder);
    await request(made.authority, '/CN=KafScale test cluster', ['-addext', 'keyUsage=critical,keyCertSign,cRLSign']);
    await runProgram('openssl', ['genrsa', '-out', made.serviceAccountKey, '2048']);
    return made;
  }

  /** For a server that is reached at these names and addresses. */
  server(
    name: string,
    { names, addresses }: { readonly names: readonly string[]; readonly addresses: readonly string[] },
  ) {
    const places = [...names.map((host) => `DNS:${host}`), ...addresses.map((address) => `IP:${address}`)];
    const extensions = [`subjectAltName=${places.join(',')}`, 'extendedKeyUsage=serverAuth'];
    return this.#sign(name, `/CN=${name}`, extensions);
  }

  /** For somebody who talks to the API server. */
  client(name: string, user: ClusterUser): Promise<CertificateFiles> {
    const subject = `${user.group === undefined ? '' : `/O=${user.group}`}/CN=${user.name}`;
    return this.#sign(name, subject, ['extendedKeyUsage=clientAuth']);
  }

  async #sign(name: string, subject: string, extensions: readonly string[]): Promise<CertificateFiles> {
    const files = certificateFiles(this.#folder, name);
    const { certFile, keyFile } = this.authority;
    await request(files, subject, [
      ...['-CA', certFile, '-CAkey', keyFile],
      ...['basicConstraints=critical,CA:FALSE', ...extensions].flatMap((extension) => ['-addext', extension]),
    ]);
    return files;
  }
}

const certificateFiles = (folder: string, name: string): CertificateFiles => ({
  certFile: join(folder, `${name}.pem`),
  keyFile: join(folder, `${name}-key.pem`),
});

async function request(
  { certFile, keyFile }: CertificateFiles,
  subject: string,
  more: readonly string[],
): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyFile];
  const common = ['-out', certFile, '-days', String(daysValid), '-subj', subject];
  await runProgram('openssl', ['req', '-x509', ...key, ...common, ...more]);
}
