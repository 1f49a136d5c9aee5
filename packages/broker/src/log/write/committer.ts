/**
 * Makes flushes real, strictly in the order they closed, by transactions through the lane: one for each, or for all that are written
 * and next in line. After it, and not before, offsets advance, the tail cache learns of the bytes, fetchers wake and producers are
 * answered. The first flush that cannot be committed takes everything behind it along.
 */
import { encodeFlushManifest, ErrorCode, KafkaError, metadataKeys } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { FlooredLane } from '../../metadata/lane.ts';
import { MetadataError } from '../../metadata/metadata-error.ts';
import type { Revision } from '../../metadata/metadata-store.ts';
import type { HotTail } from '../read/hot-tail.ts';
import type { Failpoint } from './failpoint.ts';
import type { Flush } from './flush.ts';

/** Either the object is durable under `objectKey`, or it is known that nothing will refer to it. */
export type UploadOutcome =
  | { readonly objectKey: string; readonly error?: undefined }
  | { readonly objectKey?: undefined; readonly error: KafkaError };

export interface UploadingFlush {
  readonly flush: Flush;
  /** Never rejects. */
  readonly outcome: Promise<UploadOutcome>;
  /** Not to be committed: the upload ends as soon as it can and gives its memory back. */
  abandon(): void;
}

/** The key that a commit put. */
export interface CommittedManifest {
  readonly key: string;
  readonly modRevision: Revision;
  readonly value: Uint8Array;
  /** What `value` describes or points to: the object's footer. */
  readonly footer: Buffer;
}

/** A flush that was committed. */
export interface CommittedFlush {
  readonly manifest: CommittedManifest;
  /** Of the whole object. */
  readonly sizeBytes: number;
  readonly recordBytes: number;
  readonly batchCount: number;
  readonly partitionCount: number;
  /** From its close to its commit. */
  readonly durationMs: number;
  /** Of the transaction alone, which may have committed others with it. */
  readonly commitDurationMs: number;
}

/** Told of every flush's end; for metrics. */
export interface FlushObserver {
  onCommitted(flush: CommittedFlush): void;
  /** So many flushes, one behind the other, were rolled back. */
  onFailed(flushCount: number): void;
}

export interface CommitterDependencies {
  readonly clock: Clock;
  readonly lane: FlooredLane;
  readonly hotTail: HotTail;
  readonly incarnation: string;
  readonly failpoint: Failpoint;
  /** Rolls back these flushes, oldest first, and everything accepted after them. */
  readonly rollBack: (failed: readonly UploadingFlush[], error: KafkaError) => void;
  /** The batches of one or more flushes, so many, were just answered, so long after the oldest was closed. */
  readonly onAnswered: (batchCount: number, durationMs: number) => void;
  readonly observer: FlushObserver;
}

/** A flush whose object is written, and the key by which it becomes real. */
interface WrittenFlush {
  readonly flush: Flush;
  readonly objectKey: string;
  readonly key: string;
  readonly value: Uint8Array;
}

/**
 * Flushes that one transaction commits at most: what waited behind a slow upload, or for a slow metadata store, is through in one round
 * trip and not in one for each. Their manifests together are far below what a store takes.
 */
const maxFlushesPerCommit = 16;

export class Committer {
  readonly #dependencies: CommitterDependencies;
  /** Of uploads that have ended. */
  readonly #outcomes = new WeakMap<UploadingFlush, UploadOutcome>();
  #queue: UploadingFlush[] = [];
  #unsettledBytes = 0;
  #running = false;
  #lastCommittedSequence = -1;
  /** Each waits for the flush that was the newest when it came. */
  #idleWaiters: { readonly upTo: UploadingFlush; readonly resume: () => void }[] = [];

  constructor(dependencies: CommitterDependencies) {
    this.#dependencies = dependencies;
  }

  /** -1 before the first. */
  get lastCommittedSequence(): number {
    return this.#lastCommittedSequence;
  }

  /** Flushes that have no outcome yet. */
  get unsettledCount(): number {
    return this.#queue.length;
  }

  /** Of the objects of these flushes: memory that is held until they are committed or fail. */
  get unsettledBytes(): number {
    return this.#unsettledBytes;
  }

  enqueue(upload: UploadingFlush): void {
    this.#queue.push(upload);
    this.#unsettledBytes += upload.flush.body.length;
    void upload.outcome.then((outcome) => this.#outcomes.set(upload, outcome));
    if (!this.#running) void this.#run();
  }

  /** Resolves when every flush enqueued so far is committed or failed, be there others behind them or not. */
  async idle(): Promise<void> {
    const upTo = this.#queue.at(-1);
    if (upTo === undefined) return;
    await new Promise<void>((resume) => this.#idleWaiters.push({ upTo, resume }));
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      await this.#commit(head);
      const waiters = this.#idleWaiters;
      this.#idleWaiters = waiters.filter(({ upTo }) => this.#queue.includes(upTo));
      for (const { upTo, resume } of waiters) if (!this.#queue.includes(upTo)) resume();
    }
    this.#running = false;
  }

  async #commit(head: UploadingFlush): Promise<void> {
    const { clock, lane, failpoint } = this.#dependencies;
    const upload = await head.outcome;
    if (upload.error !== undefined) {
      this.#fail(upload.error);
      return;
    }
    const { flush } = head;
    failpoint('before-commit');
    const commitStartMs = clock.monotonicMs();
    const written = this.#nextWritten();
    let modRevision: Revision;
    try {
      modRevision = await lane.commit({
        operations: written.map(({ key, value }) => ({ type: 'put', key, value })),
      });
    } catch (error) {
      this.#fail(toKafkaError(error));
      return;
    }
    failpoint('after-commit-before-answer');
    this.#queue.splice(0, written.length);
    for (const { flush: committed, objectKey } of written) {
      this.#unsettledBytes -= committed.body.length;
      lane.raiseFloor(committed.sequence + 1);
      this.#apply(committed, objectKey);
    }
    const batchCount = written.reduce((sum, one) => sum + batchesOf(one.flush), 0);
    this.#dependencies.onAnswered(batchCount, clock.monotonicMs() - flush.closedMs);
    for (const one of written) this.#observe(one, modRevision, commitStartMs);
  }

  /** The oldest flushes, up to the first that is not written. */
  #nextWritten(): readonly WrittenFlush[] {
    const written: WrittenFlush[] = [];
    for (const upload of this.#queue.slice(0, maxFlushesPerCommit)) {
      const objectKey = this.#outcomes.get(upload)?.objectKey;
      if (objectKey === undefined) break;
      const { flush } = upload;
      const key = metadataKeys.manifest(this.#dependencies.incarnation, flush.sequence);
      const value = encodeFlushManifest(objectKey, flush.description, flush.footer, flush.footerPosition);
      written.push({ flush, objectKey, key, value });
    }
    return written;
  }

  #observe({ flush, key, value }: WrittenFlush, modRevision: Revision, commitStartMs: number): void {
    const nowMs = this.#dependencies.clock.monotonicMs();
    this.#dependencies.observer.onCommitted({
      manifest: { key, modRevision, value, footer: flush.footer },
      sizeBytes: flush.body.length,
      recordBytes: flush.footerPosition,
      batchCount: batchesOf(flush),
      partitionCount: flush.extents.length,
      durationMs: nowMs - flush.closedMs,
      commitDurationMs: nowMs - commitStartMs,
    });
  }

  /** One synchronous step: nobody sees a part of a flush. */
  #apply(flush: Flush, objectKey: string): void {
    this.#lastCommittedSequence = flush.sequence;
    this.#dependencies.hotTail.add(objectKey, flush.body, flush.slab);
    for (const { writer, batches, ...extent } of flush.extents) {
      for (const batch of batches) {
        if (batch.producerId >= 0n) {
          writer.producers.commit({
            producerId: batch.producerId,
            producerEpoch: batch.producerEpoch,
            firstSequence: batch.firstSequence,
            lastSequence: batch.lastSequence,
            baseOffset: batch.baseOffset,
            lastTimestamp: flush.createdMs,
          });
        }
      }
      writer.log.append({ ...extent, leaderEpoch: writer.log.leaderEpoch, objectKey });
    }
    for (const { batches } of flush.extents) {
      for (const batch of batches) batch.settle({ committed: true, baseOffset: batch.baseOffset });
    }
  }

  #fail(error: KafkaError): void {
    const failed = this.#queue;
    this.#queue = [];
    this.#unsettledBytes = 0;
    // Nothing will ever refer to what was uploaded for them, however late it lands.
    this.#dependencies.lane.raiseFloor((failed.at(-1)?.flush.sequence ?? -1) + 1);
    this.#dependencies.rollBack(failed, error);
    this.#dependencies.observer.onFailed(failed.length);
  }
}

const batchesOf = ({ extents }: Flush): number => extents.reduce((sum, { batches }) => sum + batches.length, 0);

/** A lane rejects only what was not applied and never will be, so these are true answers. */
function toKafkaError(error: unknown): KafkaError {
  if (error instanceof MetadataError && error.kind === 'fenced') {
    return new KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, 'this broker lost its session', { cause: error });
  }
  if (error instanceof MetadataError && error.kind === 'no-space') {
    return new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, 'the metadata store is full', { cause: error });
  }
  return new KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, 'the flush was refused by the metadata store', {
    cause: error,
  });
}
