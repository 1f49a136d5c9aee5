/**
 * What an API server's refusal means to the caller, split by what one does next. The text is the server's own sentence; nothing of a
 * request's body is repeated in it.
 */

/**
 * - `not-found`: the object (or its kind) does not exist.
 * - `already-exists`: a create found the name taken.
 * - `conflict`: somebody else wrote in between, a precondition failed, or another manager owns a field.
 * - `gone`: the resource version is too old to go on from; list again.
 * - `invalid`: the object breaks its schema, a rule, or is refused by admission; trying again unchanged is useless.
 * - `forbidden`, `unauthorized`: rights or the credentials are missing (or a quota is used up).
 * - `too-many-requests`: throttled, or a disruption budget forbids the eviction; `retryAfterMs` says how long to wait when known.
 * - `unavailable`: no answer in time, a broken connection or a failing server; a write may have happened.
 * - `not-leader`: nothing was sent, because this process may no longer write.
 */
export type KubeErrorKind =
  | 'not-found'
  | 'already-exists'
  | 'conflict'
  | 'gone'
  | 'invalid'
  | 'forbidden'
  | 'unauthorized'
  | 'too-many-requests'
  | 'unavailable'
  | 'not-leader';

/** One fault of an object, as the server names it. */
export interface KubeErrorCause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

interface KubeErrorDetails {
  readonly status?: number | undefined;
  readonly reason?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly causes?: readonly KubeErrorCause[];
  readonly cause?: unknown;
}

export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly kind: KubeErrorKind;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  /** The server's own reason, such as `NotFound`; empty when it gave none. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  readonly causes: readonly KubeErrorCause[];

  constructor(
    kind: KubeErrorKind,
    message: string,
    { status, reason, retryAfterMs, causes, cause }: KubeErrorDetails = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.status = status;
    this.reason = reason ?? '';
    this.retryAfterMs = retryAfterMs;
    this.causes = causes ?? [];
  }
}

/** True when `error` is a KubeError of one of these kinds. */
export function isKubeError(error: unknown, ...kinds: readonly KubeErrorKind[]): error is KubeError {
  return error instanceof KubeError && (kinds.length === 0 || kinds.includes(error.kind));
}

interface Status {
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly code?: unknown;
  readonly details?: { readonly causes?: unknown; readonly retryAfterSeconds?: unknown };
}

interface Refusal {
  readonly status: number;
  /** The body as it came: a Status in JSON, or a proxy's page. */
  readonly body: string;
  readonly retryAfter?: string | undefined;
  /** What was asked, for instance `get Pod shop/a`. */
  readonly action: string;
}

const longestForeignText = 200;

/** The error for an answer that is no success. */
export function refusal({ status, body, retryAfter, action }: Refusal): KubeError {
  const said = parseStatus(body);
  const reason = typeof said?.reason === 'string' ? said.reason : '';
  const text = typeof said?.message === 'string' ? said.message : body.slice(0, longestForeignText).trim();
  const causes = causesOf(said);
  return new KubeError(
    isOtherObject(causes) ? 'conflict' : kindOf(status, reason),
    `${action}: ${text === '' ? `HTTP ${status}` : text}`,
    {
      status,
      reason,
      retryAfterMs: retryAfterMsOf(retryAfter, said),
      causes,
    },
  );
}

/** The error for a Status object inside a watch stream. */
export function watchRefusal(object: unknown, action: string): KubeError {
  const status = (object as Status | null)?.code;
  return refusal({ status: typeof status === 'number' ? status : 500, body: JSON.stringify(object), action });
}

/** Applying to an object that took the name of another is answered as if its uid were to be changed. */
const isOtherObject = (causes: readonly KubeErrorCause[]): boolean =>
  causes.some(({ field }) => field === 'metadata.uid');

function kindOf(status: number, reason: string): KubeErrorKind {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'not-found';
    case 409:
      return reason === 'AlreadyExists' ? 'already-exists' : 'conflict';
    case 410:
      return 'gone';
    case 429:
      return 'too-many-requests';
    case 408:
      return 'unavailable';
    default:
      return status >= 400 && status < 500 ? 'invalid' : 'unavailable';
  }
}

function parseStatus(body: string): Status | undefined {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function retryAfterMsOf(header: string | undefined, said: Status | undefined): number | undefined {
  const seconds = header === undefined ? said?.details?.retryAfterSeconds : Number(header);
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined;
}

function causesOf(said: Status | undefined): readonly KubeErrorCause[] {
  const causes = said?.details?.causes;
  if (!Array.isArray(causes)) return [];
  return causes.map((cause: Partial<KubeErrorCause> | null) => ({
    reason: cause?.reason ?? '',
    message: cause?.message ?? '',
    field: cause?.field ?? '',
  }));
}
