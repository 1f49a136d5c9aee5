/**
 * Kubernetes quantities (`500m`, `1Gi`, `1e3`) as exact numbers. Compared as numbers they tell whether two spellings mean the same,
 * which they often do, since the API server rewrites them.
 */

const suffixes: Readonly<Record<string, readonly [base: bigint, exponent: number]>> = {
  n: [10n, -9],
  u: [10n, -6],
  m: [10n, -3],
  '': [10n, 0],
  k: [10n, 3],
  M: [10n, 6],
  G: [10n, 9],
  T: [10n, 12],
  P: [10n, 15],
  E: [10n, 18],
  Ki: [2n, 10],
  Mi: [2n, 20],
  Gi: [2n, 30],
  Ti: [2n, 40],
  Pi: [2n, 50],
  Ei: [2n, 60],
};

const shape = /^([+-]?)(\d{0,30})(?:\.(\d{0,30}))?(?:([eE][+-]?\d{1,2})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$/;

/** A quantity as whole billionths, rounded up like the API server's own; undefined when the text is none. */
export function parseQuantity(quantity: string | number): bigint | undefined {
  const match = shape.exec(String(quantity).trim());
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', exponent, suffix = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const [base, power] = exponent === undefined ? suffixes[suffix]! : ([10n, Number(exponent.slice(1))] as const);
  let numerator = BigInt(whole + fraction) * 10n ** 9n;
  let denominator = 10n ** BigInt(fraction.length);
  if (power >= 0) numerator *= base ** BigInt(power);
  else denominator *= base ** BigInt(-power);
  const magnitude = (numerator + denominator - 1n) / denominator;
  return sign === '-' ? -magnitude : magnitude;
}

/** True when both texts are quantities and mean the same amount. */
export function sameQuantity(a: string | number, b: string | number): boolean {
  const left = parseQuantity(a);
  return left !== undefined && left === parseQuantity(b);
}

/** Negative, zero or positive as the first is less, the same or more; throws a RangeError for what is no quantity. */
export function compareQuantities(a: string | number, b: string | number): number {
  const [left, right] = [parseQuantity(a), parseQuantity(b)];
  if (left === undefined) throw new RangeError(`"${a}" is not a quantity such as 500m or 1Gi`);
  if (right === undefined) throw new RangeError(`"${b}" is not a quantity such as 500m or 1Gi`);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Whole units of a quantity, rounded up: bytes of `1Gi`, CPUs of `500m` (1). Throws a RangeError for what is no quantity. */
export function quantityUnits(quantity: string | number): number {
  const billionths = parseQuantity(quantity);
  if (billionths === undefined) throw new RangeError(`"${quantity}" is not a quantity such as 500m or 1Gi`);
  return Number(billionths >= 0n ? (billionths + 10n ** 9n - 1n) / 10n ** 9n : billionths / 10n ** 9n);
}
