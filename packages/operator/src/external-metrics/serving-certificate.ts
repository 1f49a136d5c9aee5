/**
 * The certificate that an API server knows this one by: self-signed, its own authority, for a few names. Node signs but builds no
 * certificates, so the handful of DER (X.690) that RFC 5280 asks for is written here.
 */
import { createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import type { Random } from '@kafscale/runtime';

/** Both in PEM. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateWish {
  /** DNS names; the first is the subject's. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly random: Random;
  /** What its owner does; `server` unless set. */
  readonly role?: 'server' | 'client';
}

const tag = { boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, utcTime: 0x17 } as const;
const [sequence, set] = [0x30, 0x31];
const generalizedTime = 0x18;
/** `[n]`, constructed or not. */
const context = (number: number, isConstructed = true) => (isConstructed ? 0xa0 : 0x80) | number;

const ecdsaWithSha256 = [1, 2, 840, 10045, 4, 3, 2];
const commonName = [2, 5, 4, 3];
const [keyUsage, subjectAltName, basicConstraints, extendedKeyUsage] = [15, 17, 19, 37].map((id) => [2, 5, 29, id]);
const roles = { server: [1, 3, 6, 1, 5, 5, 7, 3, 1], client: [1, 3, 6, 1, 5, 5, 7, 3, 2] } as const;

export function makeCertificate({
  names,
  notBeforeMs,
  notAfterMs,
  random,
  role = 'server',
}: CertificateWish): ServingCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const serial = random.bytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40; // positive, and of 16 bytes
  const name = der(sequence, der(set, der(sequence, oid(commonName), der(tag.utf8, Buffer.from(names[0]!)))));
  const algorithm = der(sequence, oid(ecdsaWithSha256));
  const extensions = [
    extension(basicConstraints!, true, der(sequence)),
    extension(keyUsage!, true, der(tag.bits, Buffer.from([7, 0x80]))), // digitalSignature
    extension(extendedKeyUsage!, false, der(sequence, oid(roles[role]))),
    extension(subjectAltName!, false, der(sequence, ...names.map((dns) => der(context(2, false), Buffer.from(dns))))),
  ];
  const toBeSigned = der(
    sequence,
    der(context(0), der(tag.integer, Buffer.from([2]))), // version 3
    der(tag.integer, serial),
    ...[algorithm, name, der(sequence, time(notBeforeMs), time(notAfterMs)), name],
    publicKey.export({ type: 'spki', format: 'der' }),
    der(context(3), der(sequence, ...extensions)),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const whole = der(sequence, toBeSigned, algorithm, der(tag.bits, Buffer.concat([Buffer.from([0]), signature])));
  return { cert: pem(whole), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** From when to when, of a pair that belongs together and has these names; undefined for anything else. */
export function validityOf(
  { cert, key }: ServingCertificate,
  names: readonly string[],
): { readonly notBeforeMs: number; readonly notAfterMs: number } | undefined {
  try {
    const read = new X509Certificate(cert);
    const hasNames = names.every((name) => read.checkHost(name) !== undefined);
    if (!hasNames || !read.checkPrivateKey(createPrivateKey(key))) return undefined;
    return { notBeforeMs: Date.parse(read.validFrom), notAfterMs: Date.parse(read.validTo) };
  } catch {
    return undefined; // not what it should be, which is all one wants to know
  }
}

/** The certificates of a PEM file that can be read, each by itself. */
export function certificatesIn(bundle: string): readonly { readonly pem: string; readonly notAfterMs: number }[] {
  const found = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.flatMap((text) => {
    try {
      return [{ pem: `${text}\n`, notAfterMs: Date.parse(new X509Certificate(text).validTo) }];
    } catch {
      return [];
    }
  });
}

function extension(id: readonly number[], isCritical: boolean, value: Buffer): Buffer {
  const critical = isCritical ? [der(tag.boolean, Buffer.from([0xff]))] : [];
  return der(sequence, oid(id), ...critical, der(tag.octets, value));
}

/** Two digits of the year up to 2049, four from then on (RFC 5280, 4.1.2.5). */
function time(wallMs: number): Buffer {
  const digits = `${new Date(wallMs).toISOString().slice(0, 19).replaceAll(/[-T:]/g, '')}Z`;
  return digits < '2050' ? der(tag.utcTime, Buffer.from(digits.slice(2))) : der(generalizedTime, Buffer.from(digits));
}

function oid([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const bytes = [first * 40 + second, ...rest].flatMap((number) => {
    const groups = [number & 0x7f];
    for (let left = number >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(tag.oid, Buffer.from(bytes));
}

function der(type: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
  return Buffer.concat([Buffer.from([type, ...size]), content]);
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
