/**
 * The metadata store of a cluster: etcd 3.4 and newer, by its gRPC API. What the interface promises etcd keeps; what goes on between
 * a call and its answer (members that fail, tokens that expire) is client.ts's, so that a transaction leaves here at most once.
 */
import type { Clock, Random } from '@kafscale/runtime';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { checkKeyRange, checkPositive, checkRange, checkTransaction } from '../check-request.ts';
import { MetadataError } from '../metadata-error.ts';
import type {
  KeyRange,
  LeaseId,
  MetadataStore,
  RangeRequest,
  RangeResult,
  Revision,
  StoreUsage,
  Transaction,
  TransactionResult,
  WatchBatch,
} from '../metadata-store.ts';
import type { EtcdUser } from './access.ts';
import { EtcdClient } from './client.ts';
import { EtcdKeys } from './keys.ts';
import { checkEtcd } from './check-etcd.ts';
import { isDenied } from './failure.ts';
import { encodeRange, encodeTransaction, leaseNumber } from './encode-request.ts';
import type { RangeResponse } from './generated/etcd/etcd.ts';
import { etcdMethods } from './methods.ts';
import { watchStream, WatchFailure } from './watch-stream.ts';

export interface EtcdMetadataStoreOptions {
  /** `host:port` of one or more members. */
  readonly endpoints: readonly string[];
  /** Asked for at each new connection. */
  readonly credentials: () => ChannelCredentials;
  readonly user?: EtcdUser;
  /** What all keys start with; ends in a slash. */
  readonly prefix: string;
  readonly clock: Clock;
  readonly random: Random;
  /** etcd's `--quota-backend-bytes`, for etcd before 3.6, which does not say; etcd's default unless set. */
  readonly quotaBytes?: number;
  readonly callDeadlineMs?: number;
  readonly suspectAfterMs?: number;
}

/** etcd's own default. */
const defaultQuotaBytes = 2 * 2 ** 30;
const defaultCallDeadlineMs = 5_000;
const defaultSuspectAfterMs = 1_000;
const mayNotCompact =
  'this etcd lets only root compact its history: start it with --auto-compaction-mode=periodic --auto-compaction-retention=5m';
/** A watch whose stream broke goes on elsewhere, so often in a row; then its caller reads again. */
const maxResumptions = 5;
const resumptionsForgottenAfterMs = 10_000;
const resumeDelayMs = 100;

export class EtcdMetadataStore implements MetadataStore {
  readonly #client: EtcdClient;
  readonly #keys: EtcdKeys;
  readonly #clock: Clock;
  readonly #quotaBytes: number;
  readonly #closing = new AbortController();

  private constructor(client: EtcdClient, keys: EtcdKeys, { clock, quotaBytes }: EtcdMetadataStoreOptions) {
    this.#client = client;
    this.#keys = keys;
    this.#clock = clock;
    this.#quotaBytes = quotaBytes ?? defaultQuotaBytes;
  }

  /**
   * Resolves when etcd has been found to answer, to be new enough and to let us read and write below the prefix. Throws MetadataError
   * with what to do about it.
   */
  static async open(options: EtcdMetadataStoreOptions): Promise<EtcdMetadataStore> {
    const keys = new EtcdKeys(options.prefix);
    const client = new EtcdClient({
      callDeadlineMs: defaultCallDeadlineMs,
      suspectAfterMs: defaultSuspectAfterMs,
      ...options,
      probeKey: keys.prefix,
    });
    try {
      await checkEtcd(client, keys);
      return new EtcdMetadataStore(client, keys, options);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async range(request: RangeRequest, signal?: AbortSignal): Promise<RangeResult> {
    checkRange(request);
    const encoded = encodeRange(this.#keys, request);
    const { answer, seenWhenSent } = await this.#client.call(etcdMethods.range, encoded, {
      signal,
      attempts: 'several',
    });
    return this.#rangeResult(answer, this.#client.identity.checkRevision(answer.header, seenWhenSent));
  }

  async transact(transaction: Transaction, signal?: AbortSignal): Promise<TransactionResult> {
    checkTransaction(transaction);
    const encoded = encodeTransaction(this.#keys, transaction);
    const { answer, seenWhenSent } = await this.#client.call(etcdMethods.txn, encoded, { signal, attempts: 'once' });
    const revision = this.#client.identity.checkRevision(answer.header, seenWhenSent);
    const ranges: RangeResult[] = [];
    for (const { range } of answer.responses) {
      if (range !== undefined) ranges.push(this.#rangeResult(range, revision));
    }
    return { succeeded: answer.succeeded, revision, ranges };
  }

  /** etcd counts whole seconds and has a shortest time to live (2 s by default), so a lease may live longer than asked for. */
  async grantLease(ttlMs: number, signal?: AbortSignal): Promise<LeaseId> {
    checkPositive('time to live', ttlMs);
    const encoded = etcdMethods.leaseGrant.encode({ ttl: BigInt(Math.ceil(ttlMs / 1_000)) });
    // A second one, if the first was granted and its answer lost, has no keys and expires.
    const { answer } = await this.#client.call(etcdMethods.leaseGrant, encoded, { signal, attempts: 'several' });
    return answer.id.toString();
  }

  async keepAlive(lease: LeaseId, signal?: AbortSignal): Promise<{ readonly ttlMs: number }> {
    const encoded = etcdMethods.leaseKeepAlive.encode({ id: leaseNumber(lease) });
    const { answer } = await this.#client.call(etcdMethods.leaseKeepAlive, encoded, {
      signal,
      attempts: 'several',
      stream: true,
    });
    if (answer.ttl <= 0n) throw new MetadataError('lease-not-found', `lease ${lease} has ended`);
    return { ttlMs: Number(answer.ttl) * 1_000 };
  }

  async revokeLease(lease: LeaseId, signal?: AbortSignal): Promise<void> {
    try {
      const encoded = etcdMethods.leaseRevoke.encode({ id: leaseNumber(lease) });
      await this.#client.call(etcdMethods.leaseRevoke, encoded, { signal, attempts: 'several' });
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind !== 'lease-not-found') throw error;
    }
  }

  /** A stream that breaks is resumed behind the last batch, on whichever member answers, a few times in a row. */
  async *watch(
    range: KeyRange,
    fromRevision: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    checkKeyRange(range);
    checkPositive('revision', fromRevision);
    const encoded = this.#keys.range(range);
    let nextRevision = fromRevision;
    const isAborted = (): boolean => signal.aborted;
    for (let failures = 0; !isAborted();) {
      const startedMs = this.#clock.monotonicMs();
      try {
        await this.#haveFreshToken(encoded.key, signal);
        for await (const batch of watchStream(
          this.#client,
          this.#keys,
          { ...encoded, fromRevision: nextRevision },
          signal,
        )) {
          failures = 0;
          nextRevision = batch.revision + 1;
          yield batch;
        }
      } catch (error) {
        if (isAborted()) return;
        if (!(error instanceof WatchFailure)) throw error;
        failures = this.#clock.monotonicMs() - startedMs < resumptionsForgottenAfterMs ? failures + 1 : 1;
        if (this.#closing.signal.aborted || error.failure.remedy === 'nothing' || failures > maxResumptions) {
          throw error.failure.error;
        }
        await this.#clock.sleep(resumeDelayMs * failures, signal).catch(() => undefined);
      }
    }
  }

  async compact(revision: Revision, signal?: AbortSignal): Promise<void> {
    checkPositive('revision', revision);
    const encoded = etcdMethods.compact.encode({ revision: BigInt(revision) });
    try {
      await this.#client.call(etcdMethods.compact, encoded, { signal, attempts: 'several' });
    } catch (error) {
      if (isDenied(error)) throw new MetadataError('unavailable', mayNotCompact, { cause: error });
      if (!(error instanceof MetadataError) || error.kind !== 'compacted') throw error;
    }
  }

  async usage(signal?: AbortSignal): Promise<StoreUsage> {
    const encoded = etcdMethods.status.encode({});
    const { answer } = await this.#client.call(etcdMethods.status, encoded, { signal, attempts: 'several' });
    return {
      sizeBytes: Number(answer.dbSize),
      inUseBytes: Number(answer.dbSizeInUse),
      quotaBytes: answer.dbSizeQuota > 0n ? Number(answer.dbSizeQuota) : this.#quotaBytes,
    };
  }

  close(): Promise<void> {
    this.#closing.abort();
    this.#client.close();
    return Promise.resolve();
  }

  /** etcd ends a watch whose token has expired without a way to tell that from missing permission; a read tells, and renews it. */
  async #haveFreshToken(key: Buffer, signal: AbortSignal): Promise<void> {
    if (!this.#client.hasUser) return;
    const encoded = etcdMethods.range.encode({
      key,
      rangeEnd: Buffer.alloc(0),
      limit: 1n,
      revision: 0n,
      keysOnly: true,
    });
    await this.#client.call(etcdMethods.range, encoded, { signal, attempts: 'several' });
  }

  #rangeResult({ kvs, more }: RangeResponse, revision: Revision): RangeResult {
    return { revision, items: kvs.map((kv) => this.#keys.keyValue(kv)), more };
  }
}
