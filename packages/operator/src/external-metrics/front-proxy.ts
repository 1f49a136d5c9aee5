/**
 * Who may ask: the API server's aggregator, known by a certificate of the authority that every API server publishes in a config map. The
 * API server has checked the user's rights by then, so nothing more is asked here, and nobody else gets an answer.
 */
import type { PeerCertificate } from 'node:tls';
import type { ConfigMap } from '../kube/index.ts';

export interface FrontProxy {
  /** Certificates of the authority, PEM. */
  readonly authority: string;
  /** Common names that may; any when empty. */
  readonly names: readonly string[];
  /** Headers that name the user, in lower case. */
  readonly userHeaders: readonly string[];
}

/** Where an API server says how it calls others. */
export const frontProxyConfig = { namespace: 'kube-system', name: 'extension-apiserver-authentication' } as const;

/** Undefined where the API server calls nobody. */
export function frontProxyOf(config: Pick<ConfigMap, 'data'> | undefined): FrontProxy | undefined {
  const data = config?.data ?? {};
  const authority = data['requestheader-client-ca-file'];
  if (authority === undefined || authority.trim() === '') return undefined;
  const userHeaders = listIn(data['requestheader-username-headers']).map((header) => header.toLowerCase());
  return {
    authority,
    names: listIn(data['requestheader-allowed-names']),
    userHeaders: userHeaders.length === 0 ? ['x-remote-user'] : userHeaders,
  };
}

/** Of a caller whose certificate was verified against the authority. */
export function isFrontProxy(
  proxy: FrontProxy,
  caller: {
    readonly certificate: Pick<PeerCertificate, 'subject'>;
    readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  },
): boolean {
  const { subject } = caller.certificate as { readonly subject?: PeerCertificate['subject'] };
  const isNamed = proxy.names.length === 0 || (typeof subject?.CN === 'string' && proxy.names.includes(subject.CN));
  return isNamed && proxy.userHeaders.some((header) => (caller.headers[header] ?? '') !== '');
}

function listIn(text: string | undefined): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(text ?? '[]');
    return Array.isArray(parsed) ? parsed.filter((item): item is string => typeof item === 'string') : [];
  } catch {
    return [];
  }
}
