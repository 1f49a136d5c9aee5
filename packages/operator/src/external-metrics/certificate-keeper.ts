/**
 * The certificate of the metrics API, kept in a secret so that a restart changes nothing, and made anew well before its end. The old one
 * stays in the bundle of what is trusted until it ends, so that no caller ever meets a certificate it does not know.
 */
import type { Clock, Random } from '@kafscale/runtime';
import { kinds, type KubeClient, type ObjectName } from '../kube/index.ts';
import { certificatesIn, makeCertificate, validityOf, type ServingCertificate } from './serving-certificate.ts';

export interface KeptCertificate {
  readonly certificate: ServingCertificate;
  /** PEM of all that is to be trusted. */
  readonly bundle: string;
  /** When it will be made anew. */
  readonly renewAtMs: number;
}

export interface CertificateKeeperSettings {
  readonly client: Pick<KubeClient, 'find' | 'apply'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly secret: ObjectName & { readonly namespace: string };
  readonly names: readonly string[];
  readonly lifetimeMs?: number;
}

const day = 86_400_000;
const defaultLifetimeMs = 365 * day;
/** Clocks differ. */
const backdatedMs = 3_600_000;
const mostTrusted = 3;

export class CertificateKeeper {
  readonly #settings: CertificateKeeperSettings;

  constructor(settings: CertificateKeeperSettings) {
    this.#settings = settings;
  }

  /** What the secret holds, after it was made or made anew where that was due. Throws KubeError. */
  async keep(signal: AbortSignal): Promise<KeptCertificate> {
    const { client, clock, random, secret, names, lifetimeMs = defaultLifetimeMs } = this.#settings;
    const nowMs = clock.wallMs();
    const stored = await client.find(kinds.Secret, secret, { signal });
    const text = (field: string) => Buffer.from(stored?.data?.[field] ?? '', 'base64').toString('utf8');
    const certificate = { cert: text('tls.crt'), key: text('tls.key') };
    const trusted = certificatesIn(text('ca.crt'));
    const validity = validityOf(certificate, names);
    const renewAtMs = validity === undefined ? -Infinity : renewalOf(validity);
    if (validity !== undefined && validity.notBeforeMs <= nowMs && nowMs < renewAtMs) {
      const isTrusted = trusted.some(({ pem }) => pem === certificate.cert);
      if (isTrusted) return { certificate, bundle: joined(trusted), renewAtMs };
    }
    const made = makeCertificate({
      ...{ names, random },
      ...{ notBeforeMs: nowMs - backdatedMs, notAfterMs: nowMs + lifetimeMs },
    });
    const still = [...trusted, ...certificatesIn(certificate.cert)].filter(({ notAfterMs }) => notAfterMs > nowMs);
    const bundle = [...new Set([made.cert, ...still.map(({ pem }) => pem)])].slice(0, mostTrusted).join('');
    const data = { 'tls.crt': inBase64(made.cert), 'tls.key': inBase64(made.key), 'ca.crt': inBase64(bundle) };
    await client.apply(kinds.Secret, { metadata: { ...secret }, data }, { signal, force: true });
    return { certificate: made, bundle, renewAtMs: renewalOf(validityOf(made, names)!) };
  }
}

/** After two thirds of its life. */
const renewalOf = ({ notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number }) =>
  notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;

const joined = (certificates: readonly { readonly pem: string }[]) => certificates.map(({ pem }) => pem).join('');

const inBase64 = (text: string): string => Buffer.from(text).toString('base64');
