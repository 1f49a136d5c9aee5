/** The etcd that a configuration names: its addresses, certificates and user, and the prefix of this cluster's keys. */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Random } from '@kafscale/runtime';
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { readFile } from 'node:fs/promises';
import { MetadataError } from '../metadata-error.ts';
import { EtcdMetadataStore, type EtcdMetadataStoreOptions } from './etcd-metadata-store.ts';

export type EtcdConfig = Pick<
  BrokerConfig,
  | 'etcdPrefix'
  | 'etcdUsername'
  | 'etcdPassword'
  | 'etcdCaFile'
  | 'etcdCertFile'
  | 'etcdKeyFile'
  | 'etcdQuotaBytes'
  | 'clusterName'
> & { readonly etcdEndpoints: readonly string[] };

export type EtcdDependencies = { readonly clock: Clock; readonly random: Random } & Pick<
  EtcdMetadataStoreOptions,
  'callDeadlineMs' | 'suspectAfterMs'
>;

interface Address {
  /** `host:port`. */
  readonly endpoint: string;
  readonly scheme: 'http' | 'https' | undefined;
}

const defaultPort = 2_379;

/** Throws MetadataError with what to do about it. */
export async function openEtcd(
  config: EtcdConfig,
  { clock, random, ...limits }: EtcdDependencies,
): Promise<EtcdMetadataStore> {
  const { etcdUsername: name, etcdPassword: password, etcdQuotaBytes: quotaBytes } = config;
  const addresses = config.etcdEndpoints.map(parseAddress);
  return EtcdMetadataStore.open({
    endpoints: addresses.map(({ endpoint }) => endpoint),
    credentials: await credentialsFor(config, addresses),
    prefix: etcdKeyPrefix(config),
    clock,
    random,
    ...limits,
    ...(name !== undefined && password !== undefined && { user: { name, password } }),
    ...(quotaBytes !== undefined && { quotaBytes }),
  });
}

/** What all keys of the cluster start with: what a role in etcd has to allow. */
export function etcdKeyPrefix({ etcdPrefix, clusterName }: Pick<EtcdConfig, 'etcdPrefix' | 'clusterName'>): string {
  return `${etcdPrefix.replace(/\/+$/, '')}/${clusterName}/`;
}

function parseAddress(text: string): Address {
  const match = /^(?:(https?):\/\/)?(\[[\da-f:.]+\]|[^\s/:[\]]+)(?::(\d{1,5}))?\/?$/i.exec(text);
  if (match === null) {
    throw new MetadataError(
      'invalid',
      `KAFSCALE_ETCD_ENDPOINTS: "${text}" is no address; expected host:port, http://host:port or https://host:port`,
    );
  }
  const [, scheme, host = '', port = String(defaultPort)] = match;
  return { endpoint: `${host}:${port}`, scheme: scheme?.toLowerCase() as Address['scheme'] };
}

async function credentialsFor(
  { etcdCaFile, etcdCertFile, etcdKeyFile }: EtcdConfig,
  addresses: readonly Address[],
): Promise<ChannelCredentials> {
  const hasFiles = etcdCaFile !== undefined || etcdCertFile !== undefined;
  const isSecure = hasFiles || addresses.some(({ scheme }) => scheme === 'https');
  if (!isSecure) return credentials.createInsecure();
  const plain = addresses.find(({ scheme }) => scheme === 'http');
  if (plain !== undefined) {
    throw new MetadataError(
      'invalid',
      `KAFSCALE_ETCD_ENDPOINTS: http://${plain.endpoint} is without TLS, which the other endpoints or KAFSCALE_ETCD_CA_FILE ask for; use https:// for all`,
    );
  }
  const [ca, key, cert] = await Promise.all([
    readPem('KAFSCALE_ETCD_CA_FILE', etcdCaFile),
    readPem('KAFSCALE_ETCD_KEY_FILE', etcdKeyFile),
    readPem('KAFSCALE_ETCD_CERT_FILE', etcdCertFile),
  ]);
  try {
    return credentials.createSsl(ca, key, cert);
  } catch (error) {
    throw new MetadataError('invalid', `the TLS files for etcd do not fit together: ${String(error)}`, {
      cause: error,
    });
  }
}

async function readPem(variable: string, file: string | undefined): Promise<Buffer | null> {
  if (file === undefined) return null;
  try {
    return await readFile(file);
  } catch (error) {
    throw new MetadataError('invalid', `${variable}: ${file} cannot be read (${String(error)})`, { cause: error });
  }
}
