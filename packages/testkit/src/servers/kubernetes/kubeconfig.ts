/** The file by which programs find a cluster and say who they are. */
import { writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import type { CertificateFiles } from '../test-certificates.ts';

export interface KubeconfigSettings {
  readonly url: string;
  /** What signed the API server's certificate. */
  readonly authorityFile: string;
  /** Who the reader of the file is: by certificate, or by a service account's token. */
  readonly user: CertificateFiles | { readonly token: string };
  readonly namespace?: string;
}

/** Certificates go in by value, so that the file can be copied alone. */
export async function writeKubeconfig(file: string, settings: KubeconfigSettings): Promise<string> {
  const { url, authorityFile, user, namespace } = settings;
  const name = 'kafscale-test';
  const named = (kind: string, value: unknown): unknown[] => [{ name, [kind]: value }];
  const credentials =
    'token' in user
      ? user
      : { 'client-certificate-data': inBase64(user.certFile), 'client-key-data': inBase64(user.keyFile) };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: named('cluster', { server: url, 'certificate-authority-data': inBase64(authorityFile) }),
    users: named('user', credentials),
    contexts: named('context', { cluster: name, user: name, ...(namespace !== undefined && { namespace }) }),
    'current-context': name,
  };
  await writeFile(file, JSON.stringify(kubeconfig, undefined, 2), { mode: 0o600 }); // JSON is YAML
  return file;
}

const inBase64 = (file: string): string => readFileSync(file).toString('base64');
