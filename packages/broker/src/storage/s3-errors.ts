/**
 * What S3 and the way to it can answer, as the few kinds of StorageError. Where somebody has to change something the message says
 * what, for a user of KafScale; the SDK's error is the cause.
 */
import { HtmlAnswerError, ConnectionError } from './s3-http-handler.ts';
import type { S3Settings } from './s3-settings.ts';
import { StorageError, type StorageErrorKind } from './storage-error.ts';

/** The bucket and where it was looked for, as messages name them. */
export type S3Place = Pick<S3Settings, 'bucket' | 'region' | 'endpoint' | 'variables'>;

interface ServiceFault {
  readonly name: string;
  readonly message: string;
  readonly Region?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

interface Finding {
  readonly kind: StorageErrorKind;
  readonly message: string;
}

/** The StorageError for anything the SDK rejects with; `what` names the call, e.g. `read n/a`. */
export function s3Error(error: unknown, what: string, place: S3Place, wallMs: number): unknown {
  if (error instanceof StorageError || error instanceof RangeError || !(error instanceof Error)) return error;
  const { kind, message } = findingOf(error, place, wallMs);
  return new StorageError(kind, `${what}: ${message}`, { cause: error });
}

function findingOf(error: Error & ServiceFault, place: S3Place, wallMs: number): Finding {
  if (error.name === 'AbortError') return { kind: 'aborted', message: 'the caller gave up' };
  if (error instanceof HtmlAnswerError) return htmlFinding(error, place);
  if (error instanceof ConnectionError) return connectionFinding(error, place);
  if (/^Credentials|^TokenProvider/.test(error.name)) return credentialsFinding(error, place);
  return byCode(error, place, wallMs) ?? byStatus(error, place);
}

function byCode(error: ServiceFault, place: S3Place, wallMs: number): Finding | undefined {
  const { bucket, variables } = place;
  switch (error.name) {
    case 'NoSuchKey':
    case 'NotFound':
      return { kind: 'not-found', message: 'no such object' };
    case 'PreconditionFailed':
      return { kind: 'conflict', message: 'the object exists already' };
    case 'InvalidObjectState':
      return {
        kind: 'archived',
        message:
          'the object was moved to an archive class and cannot be read. Restore it (RestoreObject), and keep lifecycle rules away from this bucket.',
      };
    case 'NoSuchBucket':
      return denied(
        `${addressOf(place)} has no bucket "${bucket}". Create it, or correct ${variables.bucket}; KafScale never creates buckets.`,
      );
    case 'InvalidBucketName':
      return denied(`"${bucket}" is no name a bucket can have. Correct ${variables.bucket}.`);
    case 'InvalidAccessKeyId':
    case 'XAdminUserNotFound': // versitygw's, with a 404 that must not pass for a missing object
      return denied(`the store does not know the access key. Correct ${variables.accessKey}.`);
    case 'SignatureDoesNotMatch':
      return denied(
        `the secret does not belong to the access key (or a proxy changes requests on their way). Correct ${variables.secretKey}.`,
      );
    case 'ExpiredToken':
    case 'ExpiredTokenException':
    case 'InvalidToken':
    case 'TokenRefreshRequired':
      return denied(`the session token is not valid (any more). Renew ${variables.sessionToken} and both keys.`);
    case 'RequestTimeTooSkewed':
    case 'RequestExpired':
      return clockFinding(error, wallMs);
    case 'AuthorizationHeaderMalformed':
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
    case 'IllegalLocationConstraintException':
      return regionFinding(error, place);
    case 'KMS.DisabledException':
    case 'KMS.NotFoundException':
    case 'KMS.KMSInvalidStateException':
      return denied(`the KMS key cannot be used (${error.message}). Correct ${variables.kmsArn}.`);
    case 'SlowDown':
    case 'RequestTimeout':
    case 'RequestTimeoutException':
    case 'OperationAborted':
    case 'ConditionalRequestConflict':
    case 'BadDigest':
    case 'XAmzContentChecksumMismatch':
    case 'XAmzContentSHA256Mismatch':
    case 'IncompleteBody':
    case 'InternalError':
    case 'XMinioStorageFull':
      return unavailable(`${error.name}: ${error.message}`);
    default:
      return undefined;
  }
}

function byStatus(error: ServiceFault, place: S3Place): Finding {
  const status = error.$metadata?.httpStatusCode;
  const said = `${error.name}: ${error.message}`;
  if (status === undefined || status === 429 || status === 408) return unavailable(said);
  if (status === 404) return unavailable(`${said} (a 404 that does not name the object says nothing about it)`);
  if (status === 412) return { kind: 'conflict', message: 'the object exists already' };
  if (status === 409) return unavailable(said);
  if (status === 401 || status === 403) {
    return denied(
      `the store refuses access to bucket "${place.bucket}" (${said}). Check the credentials and that they may get, put, list and delete objects there; docs/reference/object-stores.md has the smallest policy.`,
    );
  }
  if (status === 301 || status === 307) return regionFinding(error, place);
  if (status === 501 || status === 405) {
    return denied(`the store does not offer what KafScale needs (${said}). See docs/reference/object-stores.md.`);
  }
  if (status >= 500) return unavailable(`${status} ${said}`);
  return denied(`the store refuses the request (${status} ${said}).`);
}

function htmlFinding(error: HtmlAnswerError, place: S3Place): Finding {
  const text = `${addressOf(place)} ${error.message} (HTTP ${error.statusCode}).`;
  // A gateway in front of a store that is down also sends pages.
  if (error.statusCode >= 500) return unavailable(text);
  return denied(
    `${text} That is no object store: give the address of the S3 API, not of a console or proxy, in ${place.variables.endpoint}.`,
  );
}

function connectionFinding({ code, message }: ConnectionError, place: S3Place): Finding {
  const address = addressOf(place);
  const { endpoint } = place.variables;
  switch (code) {
    case 'ENOTFOUND':
      return unavailable(`the host of ${address} is not known. Check ${endpoint} and the name service.`);
    case 'EAI_AGAIN':
      return unavailable(`the name service does not answer for ${address}.`);
    case 'ECONNREFUSED':
      return unavailable(`nothing listens at ${address}. Start the object store, or correct ${endpoint}.`);
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return denied(`${address} does not speak TLS. Begin ${endpoint} with http:// if that is meant to be so.`);
    default:
      break;
  }
  if (code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return denied(
      `the certificate of ${address} is not trusted (${code}). Name the file of its authority in NODE_EXTRA_CA_CERTS.`,
    );
  }
  return unavailable(`${address}: ${message}`);
}

function credentialsFinding({ message }: Error, { variables }: S3Place): Finding {
  return denied(
    `there are no credentials (${message}). Set ${variables.accessKey} and ${variables.secretKey}, or give the process a role (IRSA, instance profile).`,
  );
}

function clockFinding(error: ServiceFault, wallMs: number): Finding {
  const storeMs = Date.parse(error.$response?.headers?.['date'] ?? '');
  const minutes = Math.round((wallMs - storeMs) / 60_000);
  const difference = Number.isNaN(minutes)
    ? ''
    : ` by about ${Math.abs(minutes)} minutes (this machine is ${minutes > 0 ? 'ahead' : 'behind'})`;
  return denied(`the clocks of this machine and of the store differ too much${difference}. Set the clock (NTP).`);
}

function regionFinding(error: ServiceFault, { bucket, region, variables }: S3Place): Finding {
  const actual = error.$response?.headers?.['x-amz-bucket-region'] ?? error.Region;
  const where = actual === undefined ? 'lies elsewhere' : `lies in region ${actual}`;
  const todo = actual === undefined ? `Correct ${variables.region}` : `Set ${variables.region}=${actual}`;
  return denied(`bucket "${bucket}" ${where}, not in ${region} (${error.name}). ${todo} (or ${variables.endpoint}).`);
}

export const addressOf = ({ endpoint, region }: Pick<S3Place, 'endpoint' | 'region'>): string =>
  endpoint ?? `S3 in ${region}`;
const denied = (message: string): Finding => ({ kind: 'denied', message });
const unavailable = (message: string): Finding => ({ kind: 'unavailable', message });
