/**
 * What an error of etcd or of the way to it means to us. The texts are etcd's own (its rpctypes package) and the same from 3.4 to
 * 3.6; the status codes alone do not tell a full database from a request too large, or an expired token from a bad request.
 */
import { status, type ServiceError } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';

/**
 * What may help a call that failed:
 * - `reconnect`: another connection, perhaps to another member.
 * - `renew-token`: a new token.
 * - `nothing`: the answer would be the same.
 */
export type Remedy = 'reconnect' | 'renew-token' | 'nothing';

export interface Failure {
  readonly error: MetadataError;
  readonly remedy: Remedy;
}

const connectionErrors: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'nobody listens there: check the address and that etcd runs'],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, 'the host name is unknown: check KAFSCALE_ETCD_ENDPOINTS'],
  [
    /self.signed|unable to (get|verify)|unknown (ca|authority)/i,
    'its certificate is not signed by an authority we trust: check KAFSCALE_ETCD_CA_FILE',
  ],
  [
    /altnames|Hostname\/IP/i,
    'its certificate is for another name: use an address that stands in the certificate, or have it reissued',
  ],
  [/certificate has expired|not yet valid/i, 'its certificate is out of date: renew it, or set the clock right'],
  [
    /alert|certificate required|bad certificate/i,
    'it refused our TLS: with mTLS set KAFSCALE_ETCD_CERT_FILE and KAFSCALE_ETCD_KEY_FILE to a certificate it trusts',
  ],
  [
    /wrong version number|packet length too long|record layer failure|before secure TLS/i,
    'it does not speak TLS there: use http:// and no KAFSCALE_ETCD_CA_FILE, or start etcd with TLS',
  ],
  [/Protocol error/, 'what listens there does not speak gRPC: check KAFSCALE_ETCD_ENDPOINTS'],
  [/Failed to connect/, 'it closed the connection: if it wants TLS, use https:// and set KAFSCALE_ETCD_CA_FILE'],
];

/** Text about trouble with TLS, which no waiting cures. */
const tlsTrouble = /certificate|self.signed|altnames|alert|wrong version number|packet length|record layer/i;

export function failureOf(error: ServiceError, endpoint: string): Failure {
  const { code } = error;
  const details = plainDetails(error);
  const say = (kind: MetadataError['kind'], message: string): MetadataError =>
    new MetadataError(kind, `etcd at ${endpoint}: ${message}`, { cause: error });

  if (/invalid auth token|revision of auth store is old|user name is empty/.test(details)) {
    return {
      error: say('unavailable', `${details}; the user is named by KAFSCALE_ETCD_USERNAME`),
      remedy: 'renew-token',
    };
  }
  switch (code) {
    case status.INVALID_ARGUMENT:
      if (/authentication failed/.test(details)) {
        return {
          error: say('invalid', 'it refused the user: check KAFSCALE_ETCD_USERNAME and KAFSCALE_ETCD_PASSWORD'),
          remedy: 'nothing',
        };
      }
      return { error: say('invalid', details), remedy: 'nothing' };
    case status.NOT_FOUND:
      return { error: say(/lease/.test(details) ? 'lease-not-found' : 'unavailable', details), remedy: 'nothing' };
    case status.OUT_OF_RANGE:
      return { error: say(/compacted/.test(details) ? 'compacted' : 'invalid', details), remedy: 'nothing' };
    case status.RESOURCE_EXHAUSTED:
      if (/space exceeded/.test(details)) {
        return {
          error: say(
            'no-space',
            'its database has reached its quota and takes only deletes: free space (compact, defragment, disarm the alarm) or raise --quota-backend-bytes',
          ),
          remedy: 'nothing',
        };
      }
      if (/larger than max/.test(details)) return { error: say('invalid', details), remedy: 'nothing' };
      return { error: say('unavailable', details), remedy: 'nothing' };
    case status.PERMISSION_DENIED:
      return {
        error: say(
          'unavailable',
          'the user may not read and write our keys: give it a role with readwrite permission on the prefix (KAFSCALE_ETCD_PREFIX, then the cluster id)',
        ),
        remedy: 'nothing',
      };
    case status.UNIMPLEMENTED:
      return { error: say('unavailable', `${details}; is that etcd 3.4 or newer?`), remedy: 'nothing' };
    case status.UNAVAILABLE: {
      const advice = connectionErrors.find(([pattern]) => pattern.test(details))?.[1];
      return {
        error: say('unavailable', advice === undefined ? details : `${advice} (${details})`),
        remedy: 'reconnect',
      };
    }
    default:
      return { error: say('unavailable', details), remedy: 'reconnect' };
  }
}

/** Without what grpc-js wraps around the reason. */
const plainDetails = ({ details }: ServiceError): string =>
  details.replace(/^No connection established\. Last error: (?:Error: )?/, '').replace(/\.? Resolution note:.*$/, '');

/** Whether etcd denied a right that the user has not. */
export const isDenied = (error: unknown): boolean =>
  error instanceof MetadataError &&
  (error.cause as Partial<ServiceError> | undefined)?.code === status.PERMISSION_DENIED;

/** Whether waiting and trying again cannot help: wrong credentials, and certificates that do not fit. */
export function isHopeless(error: MetadataError): boolean {
  if (error.cause instanceof MetadataError) return isHopeless(error.cause);
  const details = (error.cause as Partial<ServiceError> | undefined)?.details ?? '';
  return error.kind === 'invalid' || (error.kind === 'unavailable' && tlsTrouble.test(details));
}
