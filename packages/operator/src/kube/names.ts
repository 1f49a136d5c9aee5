/** Names and label values that Kubernetes accepts, whatever the names they are made of. */
import { createHash } from 'node:crypto';

/** What a DNS label, and so a Service or a label's value, may measure. */
export const longestLabel = 63;

const hashLength = 8;

/**
 * The parts joined by `-`, as one DNS label of at most `limit` characters. What does not fit is cut and gets a hash of the whole, so
 * different parts never end in one name.
 */
export function boundedName(parts: readonly string[], limit = longestLabel): string {
  const whole = parts.join('-');
  const plain = whole.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-');
  if (plain === whole && isDnsLabel(plain) && plain.length <= limit) return plain;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, hashLength);
  const head = plain.slice(0, limit - hashLength - 1).replaceAll(/^-+|-+$/g, '');
  return head === '' ? hash : `${head}-${hash}`;
}

/** True for a name of an RFC 1123 label. */
export function isDnsLabel(name: string): boolean {
  return name.length <= longestLabel && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name);
}

/** True for what most kinds take as a name: labels joined by dots. */
export function isObjectName(name: string): boolean {
  return name.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name);
}
