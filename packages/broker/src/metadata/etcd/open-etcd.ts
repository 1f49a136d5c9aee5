/** The etcd that a configuration names: its addresses, certificates and user, and the prefix of this cluster's keys. */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Logger, Random } from '@kafscale/runtime';
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import { EtcdMetadataStore, type EtcdMetadataStoreOptions } from './etcd-metadata-store.ts';
import { TlsFiles } from './tls-files.ts';

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

export type EtcdDependencies = { readonly clock: Clock; readonly random: Random; readonly logger?: Logger } & Pick<
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
  { clock, random, logger, ...limits }: EtcdDependencies,
): Promise<EtcdMetadataStore> {
  const { etcdUsername: name, etcdPassword: password, etcdQuotaBytes: quotaBytes } = config;
  const addresses = config.etcdEndpoints.map(parseAddress);
  return EtcdMetadataStore.open({
    endpoints: addresses.map(({ endpoint }) => endpoint),
    credentials: credentialsFor(config, addresses, logger),
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

/** What each connection is opened with. */
function credentialsFor(
  { etcdCaFile, etcdCertFile, etcdKeyFile }: EtcdConfig,
  addresses: readonly Address[],
  logger: Logger | undefined,
): () => ChannelCredentials {
  const hasFiles = etcdCaFile !== undefined || etcdCertFile !== undefined;
  const isSecure = hasFiles || addresses.some(({ scheme }) => scheme === 'https');
  if (!isSecure) return () => credentials.createInsecure();
  const plain = addresses.find(({ scheme }) => scheme === 'http');
  if (plain !== undefined) {
    throw new MetadataError(
      'invalid',
      `KAFSCALE_ETCD_ENDPOINTS: http://${plain.endpoint} is without TLS, which the other endpoints or KAFSCALE_ETCD_CA_FILE ask for; use https:// for all`,
    );
  }
  const files = new TlsFiles({ etcdCaFile, etcdCertFile, etcdKeyFile }, logger);
  return () => files.current();
}
