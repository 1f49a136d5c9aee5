/**
 * Takes a snapshot of etcd into the bucket: from a member that has everything acknowledged so far, checked against the checksum that
 * etcd appends, read back part by part, and only then named by its head. Older ones go last.
 */
import type { Clock, Logger, Random } from '@kafscale/runtime';
import { createHash } from 'node:crypto';
import { EtcdCallError, type ConnectEtcd, type EtcdClient } from './etcd-client.ts';
import {
  deleteOldSnapshots,
  encodeHead,
  headKey,
  partKey,
  SnapshotFault,
  snapshotName,
  type SnapshotHead,
  type SnapshotStore,
} from './snapshot-catalog.ts';
import { sha256Of, SnapshotChecksum } from './snapshot-checksum.ts';

export interface SnapshotRequest {
  /** URLs of all members. */
  readonly endpoints: readonly string[];
  /** Names it in the bucket. */
  readonly cluster: string;
  readonly keep: number;
}

export interface SnapshotDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly connect: ConnectEtcd;
  readonly store: SnapshotStore;
  /** Of one object; tests take less. */
  readonly partBytes?: number;
}

export interface TakenSnapshot {
  readonly key: string;
  readonly takenMs: number;
  readonly sizeBytes: number;
  readonly revision: number;
  /** Older ones that went. */
  readonly deleted: number;
}

const defaultPartBytes = 16 * 2 ** 20;
const uploadAttempts = 3;

/** Throws SnapshotFault, EtcdCallError and what the store throws; what was uploaded by then is no snapshot. */
export async function takeSnapshot(
  request: SnapshotRequest,
  dependencies: SnapshotDependencies,
): Promise<TakenSnapshot> {
  const { clock, random, store } = dependencies;
  const { cluster, keep } = request;
  const source = await chooseMember(request, dependencies);
  const takenMs = clock.wallMs();
  const name = snapshotName(takenMs, Buffer.from(random.bytes(4)).toString('hex'));
  const upload = new SnapshotUpload(cluster, name, dependencies);
  for await (const piece of source.client.snapshot()) await upload.add(piece);
  const head: SnapshotHead = {
    ...{ format: 1, cluster, takenMs, etcdVersion: source.version, revision: source.revision },
    ...(await upload.finish()),
  };
  const key = headKey(cluster, name);
  const bytes = encodeHead(head);
  await store.create(key, [bytes]);
  if (!bytes.equals(await store.read(key))) throw new SnapshotFault(`${key} is not what was written`);
  const deleted = await deleteOldSnapshots(store, cluster, keep);
  return { key, takenMs, sizeBytes: head.sizeBytes, revision: head.revision, deleted };
}

/** A member that has applied everything, rather not the leader, who has enough to do. */
async function chooseMember({ endpoints }: SnapshotRequest, { connect, logger }: SnapshotDependencies) {
  const clients = endpoints.map((url) => connect(url));
  const newest = await firstAnswer(clients);
  const answers = await Promise.allSettled(clients.map(async (client) => ({ client, status: await client.status() })));
  const able = answers
    .flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    .filter(({ status }) => !status.isLearner && status.revision >= newest)
    .sort((left, right) => Number(leads(left.status)) - Number(leads(right.status)));
  const [chosen] = able;
  if (chosen === undefined) throw new SnapshotFault('no member of etcd has everything at the moment; try again');
  const { client, status } = chosen;
  logger.info({ member: client.url, revision: status.revision }, 'taking a snapshot');
  return { client, version: status.version, revision: status.revision };
}

const leads = ({ memberId, leaderId }: { readonly memberId: string; readonly leaderId: string }): boolean =>
  memberId === leaderId;

/** The newest revision by quorum, from whoever answers. */
async function firstAnswer(clients: readonly EtcdClient[]): Promise<number> {
  const causes: unknown[] = [];
  for (const client of clients) {
    try {
      return await client.revision();
    } catch (error) {
      if (!(error instanceof EtcdCallError)) throw error;
      causes.push(error);
    }
  }
  throw new EtcdCallError('unreachable', 'no member of etcd answers for a quorum', {
    cause: new AggregateError(causes),
  });
}

class SnapshotUpload {
  readonly #cluster: string;
  readonly #name: string;
  readonly #store: SnapshotStore;
  readonly #partBytes: number;
  readonly #whole = createHash('sha256');
  readonly #checksum = new SnapshotChecksum();
  readonly #parts: SnapshotHead['parts'] = [];
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #sizeBytes = 0;

  constructor(cluster: string, name: string, { store, partBytes = defaultPartBytes }: SnapshotDependencies) {
    this.#cluster = cluster;
    this.#name = name;
    this.#store = store;
    this.#partBytes = partBytes;
  }

  async add(piece: Uint8Array): Promise<void> {
    this.#whole.update(piece);
    this.#sizeBytes += piece.length;
    this.#checksum.add(piece);
    this.#pending.push(piece);
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes >= this.#partBytes) await this.#flush();
  }

  async finish(): Promise<Pick<SnapshotHead, 'sizeBytes' | 'sha256' | 'parts'>> {
    if (!this.#checksum.isWhole()) {
      throw new SnapshotFault('the snapshot that etcd sent does not fit its checksum; try again');
    }
    if (this.#pendingBytes > 0) await this.#flush();
    return { sizeBytes: this.#sizeBytes, sha256: this.#whole.digest('hex'), parts: this.#parts };
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    [this.#pending, this.#pendingBytes] = [[], 0];
    const sha256 = sha256Of(bytes);
    for (let attempt = 1; ; attempt += 1) {
      const key = partKey(this.#cluster, this.#name, this.#parts.length, attempt);
      try {
        await this.#store.create(key, [bytes]);
        if (sha256Of(await this.#store.read(key)) !== sha256) throw new SnapshotFault(`${key} is not what was written`);
        this.#parts.push({ key, sizeBytes: bytes.length, sha256 });
        return;
      } catch (error) {
        if (attempt === uploadAttempts) throw error;
      }
    }
  }
}
