import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import { failureOf, isHopeless } from './failure.ts';

const serviceError = (code: status, details: string): ServiceError =>
  Object.assign(new Error(`${code} ${details}`), { code, details, metadata: new Metadata() });

describe('a failure of etcd', () => {
  it.each([
    [status.INVALID_ARGUMENT, 'etcdserver: request is too large', 'invalid', 'nothing'],
    [status.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request', 'invalid', 'nothing'],
    [status.INVALID_ARGUMENT, 'etcdserver: revision of auth store is old', 'unavailable', 'renew-token'],
    [status.INVALID_ARGUMENT, 'etcdserver: user name is empty', 'unavailable', 'renew-token'],
    [status.UNAUTHENTICATED, 'etcdserver: invalid auth token', 'unavailable', 'renew-token'],
    [status.PERMISSION_DENIED, 'etcdserver: permission denied', 'unavailable', 'nothing'],
    [status.NOT_FOUND, 'etcdserver: requested lease not found', 'lease-not-found', 'nothing'],
    [status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted', 'compacted', 'nothing'],
    [status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision is a future revision', 'invalid', 'nothing'],
    [status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded', 'no-space', 'nothing'],
    [status.RESOURCE_EXHAUSTED, 'grpc: received message larger than max (3 vs. 2)', 'invalid', 'nothing'],
    [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests', 'unavailable', 'nothing'],
    [status.UNAVAILABLE, 'etcdserver: no leader', 'unavailable', 'reconnect'],
    [status.UNAVAILABLE, 'etcdserver: request timed out', 'unavailable', 'reconnect'],
    [status.DEADLINE_EXCEEDED, 'context deadline exceeded', 'unavailable', 'reconnect'],
    [status.CANCELLED, 'Cancelled on client', 'unavailable', 'reconnect'],
    [status.UNKNOWN, 'etcdserver: something new', 'unavailable', 'reconnect'],
  ] as const)('of code %s, "%s", is %s and helped by %s', (code, details, kind, remedy) => {
    const failure = failureOf(serviceError(code, details), 'etcd:2379');
    expect([failure.error.kind, failure.remedy]).toEqual([kind, remedy]);
    expect(failure.error.message).toMatch(/^etcd at etcd:2379: /);
  });

  it('says what to do about a connection in a sentence', () => {
    const details =
      'No connection established. Last error: Error: connect ECONNREFUSED 10.0.0.1:2379. Resolution note: ';
    expect(failureOf(serviceError(status.UNAVAILABLE, details), '10.0.0.1:2379').error.message).toBe(
      'etcd at 10.0.0.1:2379: nobody listens there: check the address and that etcd runs (connect ECONNREFUSED 10.0.0.1:2379)',
    );
  });

  it('is hopeless for credentials and certificates, and not for what may pass', () => {
    const hopeless = (code: status, details: string): boolean =>
      isHopeless(
        new MetadataError('unavailable', 'wrapped', { cause: failureOf(serviceError(code, details), 'e').error }),
      );
    expect(hopeless(status.INVALID_ARGUMENT, 'etcdserver: authentication failed, invalid user ID or password')).toBe(
      true,
    );
    expect(hopeless(status.UNAVAILABLE, 'Last error: Error: self-signed certificate in certificate chain')).toBe(true);
    expect(hopeless(status.UNAVAILABLE, 'Last error: Error: connect ECONNREFUSED 127.0.0.1:1')).toBe(false);
    expect(hopeless(status.UNAVAILABLE, 'etcdserver: no leader')).toBe(false);
  });
});
