import type { MetadataError } from '../metadata-error.ts';
import { StoreIdentity } from './store-identity.ts';

const header = (revision: number, clusterId = 7n) => ({ clusterId, memberId: 1n, revision: BigInt(revision) });
const replaced = expect.objectContaining({ kind: 'replaced' }) as MetadataError;

describe('the identity of etcd', () => {
  it('takes answers that overtake each other for what they are', () => {
    const identity = new StoreIdentity(() => undefined);
    expect(identity.checkRevision(header(10), 0)).toBe(10);
    const [sentFirst, sentSecond] = [identity.seenRevision, identity.seenRevision];
    expect(identity.checkRevision(header(12), sentSecond)).toBe(12);
    expect(identity.checkRevision(header(11), sentFirst)).toBe(11);
    expect(identity.seenRevision).toBe(12);
  });

  it('is lost for ever with an answer older than what was known when it was asked for', () => {
    const told: MetadataError[] = [];
    const identity = new StoreIdentity((error) => told.push(error));
    identity.checkRevision(header(10), 0);
    expect(() => identity.checkRevision(header(9), identity.seenRevision)).toThrow(replaced);
    expect(() => identity.checkRevision(header(11), identity.seenRevision)).toThrow(replaced);
    expect(() => identity.checkCluster(header(11))).toThrow(replaced);
    expect(told).toEqual([replaced]);
  });

  it('is lost with an answer by another cluster, whatever its revision', () => {
    const identity = new StoreIdentity(() => undefined);
    identity.checkCluster(header(10));
    expect(() => identity.checkRevision(header(99, 8n), 10)).toThrow(replaced);
    expect(identity.replaced).toEqual(replaced);
  });

  it('counts what a watch has shown', () => {
    const identity = new StoreIdentity(() => undefined);
    identity.checkRevision(header(10), 0);
    identity.saw(15);
    expect(() => identity.checkRevision(header(14), identity.seenRevision)).toThrow(replaced);
  });
});
