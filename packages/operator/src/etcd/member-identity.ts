/**
 * The ids that etcd gives the cluster and its first members: hashes of peer URLs and the cluster's token (`server/etcdserver/api/
 * membership`, unchanged since 2.0). Knowing them beforehand tells data of this etcd from data of an earlier one.
 */
import { createHash } from 'node:crypto';

const idOf = (...parts: readonly (string | Uint8Array)[]): bigint => {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest().readBigUInt64BE();
};

/** Of a cluster that starts, or is restored, with these members; decimal text. */
export function clusterIdOf(peerUrls: readonly string[], token: string): string {
  const ids = peerUrls.map((url) => idOf(url, token)).sort((left, right) => (left < right ? -1 : 1));
  const bytes = Buffer.alloc(ids.length * 8);
  ids.forEach((id, index) => bytes.writeBigUInt64BE(id, index * 8));
  return idOf(bytes).toString();
}
