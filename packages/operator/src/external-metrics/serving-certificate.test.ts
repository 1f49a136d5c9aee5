import { seededRandom } from '@kafscale/runtime';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { certificatesIn, makeCertificate, validityOf } from './serving-certificate.ts';

const names = ['metrics.operator.svc', 'localhost'];
const notBeforeMs = Date.UTC(2026, 0, 1);
const make = (notAfterMs = Date.UTC(2027, 0, 1), seed = 1) =>
  makeCertificate({ names, notBeforeMs, notAfterMs, random: seededRandom(seed) });

test('a certificate says what it was made for, and is signed by its own key', () => {
  const { cert, key } = make();
  const read = new X509Certificate(cert);
  expect(read.subject).toBe('CN=metrics.operator.svc');
  expect(read.subjectAltName).toBe('DNS:metrics.operator.svc, DNS:localhost');
  expect(read.ca).toBe(false);
  expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.checkPrivateKey(createPrivateKey(key))).toBe(true);
  expect(validityOf({ cert, key }, names)).toEqual({ notBeforeMs, notAfterMs: Date.UTC(2027, 0, 1) });
});

test('years from 2050 on are understood as well', () => {
  const notAfterMs = Date.UTC(2060, 5, 1);
  expect(validityOf(make(notAfterMs), names)?.notAfterMs).toBe(notAfterMs);
});

test('what is no pair, or for other names, or no certificate, is not valid', () => {
  const [one, other] = [make(), make(undefined, 2)];
  expect(validityOf({ cert: one.cert, key: other.key }, names)).toBeUndefined();
  expect(validityOf(one, ['elsewhere'])).toBeUndefined();
  expect(validityOf({ cert: '', key: '' }, names)).toBeUndefined();
  expect(validityOf({ cert: one.cert.slice(0, 300), key: one.key }, names)).toBeUndefined();
});

test('certificates of a bundle are found one by one, and what is broken is left out', () => {
  const [one, other] = [make(), make(Date.UTC(2028, 0, 1), 2)];
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  expect(certificatesIn(`${one.cert}${broken}text\n${other.cert}`)).toEqual([
    { pem: one.cert, notAfterMs: Date.UTC(2027, 0, 1) },
    { pem: other.cert, notAfterMs: Date.UTC(2028, 0, 1) },
  ]);
});
