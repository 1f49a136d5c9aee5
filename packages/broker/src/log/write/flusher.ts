/**
 * Gathers accepted batches into flushes, lays each out when the pacer says so, and uploads several at once. In which order they
 * become real is the committer's part; what fails there is rolled back here, in one step with everything accepted after it.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import {
  backoffDelayMs,
  withDeadline,
  type CancelTimer,
  type Clock,
  type Random,
  type SlabArena,
} from '@kafscale/runtime';
import type { ObjectStore } from '../../storage/object-store.ts';
import { StorageError } from '../../storage/storage-error.ts';
import type { Committer, UploadingFlush, UploadOutcome } from './committer.ts';
import type { Failpoint } from './failpoint.ts';
import { closeFlush, type Flush } from './flush.ts';
import { FlushBuffer } from './flush-buffer.ts';
import { FlushPacer, type FlushPacerSettings } from './flush-pacer.ts';
import type { PartitionWriter } from './partition-writer.ts';
import { PendingBatch, type BatchToAppend, type SettledListener } from './pending-batch.ts';

export interface FlusherSettings extends FlushPacerSettings {
  /** How long one attempt to write the object may take; the next one goes under another name. */
  readonly uploadAttemptDeadlineMs: number;
  /** After this the flush has failed, and with it everything accepted after it. */
  readonly uploadDeadlineMs: number;
}

export interface FlusherDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly objectStore: ObjectStore;
  readonly arena: SlabArena;
  readonly committer: Committer;
  readonly clusterId: string;
  readonly incarnation: string;
  /** A name never used before for the object of that sequence. */
  readonly nameObject: (sequence: number) => string;
  readonly failpoint: Failpoint;
  readonly settings: FlusherSettings;
}

/** Small flushes may be as many as they like; large ones as many as may be uploaded at once. */
const maxUnsettledBytes = ({ maxUploads, maxBytes }: FlushPacerSettings) => maxUploads * maxBytes;
const uploadBackoff = { baseMs: 50, maxMs: 2_000 };

export class Flusher {
  readonly #dependencies: FlusherDependencies;
  readonly #pacer: FlushPacer;
  /** Due and waiting for an upload to end, oldest first: however long the store takes, no flush grows beyond its bounds. */
  readonly #due: FlushBuffer[] = [];
  #open: FlushBuffer;
  /** Who waits until everything up to a sequence is closed or rolled back. */
  #waiters: { readonly sequence: number; readonly resolve: () => void }[] = [];
  #lastClosedSequence = -1;
  #uploadsInFlight = 0;
  #decisionQueued = false;
  #cancelTimer: CancelTimer | undefined;
  #closed = false;

  constructor(dependencies: FlusherDependencies) {
    this.#dependencies = dependencies;
    this.#pacer = new FlushPacer(dependencies.settings, dependencies.clock);
    this.#open = new FlushBuffer(0);
  }

  /** Takes the batch into the open flush; `listener` learns its outcome, later and exactly once. */
  append(writer: PartitionWriter, batch: BatchToAppend, listener: SettledListener): PendingBatch {
    if (!this.#hasRoomFor(batch)) this.#setAside();
    const pending = new PendingBatch(writer, batch, this.#open.sequence, listener);
    if (this.#open.isEmpty) this.#pacer.opened();
    this.#open.add(pending);
    this.#queueDecision();
    return pending;
  }

  /** The committer answered a flush of so many batches, so long after its close. */
  answered(batchCount: number, durationMs: number): void {
    this.#pacer.answered(batchCount, this.#open.batchCount, durationMs);
    this.#queueDecision();
  }

  /** Closes the open flush as soon as uploads allow, whatever the pacer thinks. Resolves when all accepted so far is closed or rolled back. */
  async flush(): Promise<void> {
    if (!this.#open.isEmpty) this.#setAside();
    this.#closeDue();
    const last = this.#due.at(-1);
    if (last === undefined) return;
    await new Promise<void>((resolve) => this.#waiters.push({ sequence: last.sequence, resolve }));
  }

  /**
   * The closed flushes in `failed` (oldest first) are not in the log and never will be: they and everything accepted after them are
   * answered with `error`, and offsets and producer sequences return to the committed state.
   */
  rollBack(failed: readonly UploadingFlush[], error: KafkaError): void {
    const abandoned = [...this.#due.splice(0), this.#open];
    const firstFailed = failed[0]?.flush.sequence ?? abandoned[0]!.sequence;
    this.#open = new FlushBuffer(this.#open.sequence + 1);
    this.#lastClosedSequence = this.#dependencies.committer.lastCommittedSequence;

    const nextOffsets = new Map<PartitionWriter, number>();
    const batches: PendingBatch[] = [];
    for (const { flush } of failed) {
      for (const extent of flush.extents) {
        if (!nextOffsets.has(extent.writer)) nextOffsets.set(extent.writer, extent.baseOffset);
        batches.push(...extent.batches);
      }
    }
    for (const { batchesByWriter } of abandoned) {
      for (const [writer, accepted] of batchesByWriter) {
        if (!nextOffsets.has(writer)) nextOffsets.set(writer, writer.nextOffset);
        batches.push(...accepted);
      }
    }
    for (const [writer, nextOffset] of nextOffsets) writer.rollBack(firstFailed, nextOffset);
    for (const upload of failed) upload.abandon();
    for (const batch of batches) batch.settle({ committed: false, error });
    this.#wakeWaiters();
  }

  /** Nothing is flushed after this. What is open or under way must have been settled before, or is rolled back by the caller. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
  }

  /** Decides once the current turn is over, so that all requests of one read share a flush. */
  #queueDecision(): void {
    if (this.#decisionQueued) return;
    this.#decisionQueued = true;
    queueMicrotask(() => {
      this.#decisionQueued = false;
      this.#decide();
    });
  }

  #decide(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#closed) return;
    this.#closeDue();
    if (this.#due.length > 0) return; // the end of an upload is waited for
    const decision = this.#pacer.decide(this.#open, this.#uploadsInFlight, this.#dependencies.committer.unsettledCount);
    if (decision === 'close') {
      this.#setAside();
      this.#closeDue();
    } else if (decision !== 'wait') {
      this.#cancelTimer = this.#dependencies.clock.schedule(decision.afterMs, () => this.#decide());
    }
  }

  /** A batch that is larger than a flush should be gets one of its own. */
  #hasRoomFor({ bytes }: BatchToAppend): boolean {
    const { maxBytes, maxEntries } = this.#dependencies.settings;
    const { isEmpty, sizeBytes, entryCount } = this.#open;
    return isEmpty || (sizeBytes + bytes.length <= maxBytes && entryCount < maxEntries);
  }

  #setAside(): void {
    this.#due.push(this.#open);
    this.#open = new FlushBuffer(this.#open.sequence + 1);
  }

  /** As many as may be uploaded now. */
  #closeDue(): void {
    while (this.#due.length > 0 && this.#mayUpload(this.#due[0]!)) this.#close(this.#due.shift()!);
    this.#wakeWaiters();
  }

  /** What is uploaded and waits for a slow one before it to be committed holds memory as well. */
  #mayUpload({ sizeBytes }: FlushBuffer): boolean {
    const { committer, settings } = this.#dependencies;
    if (this.#uploadsInFlight >= settings.maxUploads) return false;
    return committer.unsettledCount === 0 || committer.unsettledBytes + sizeBytes <= maxUnsettledBytes(settings);
  }

  #wakeWaiters(): void {
    const unclosed = (this.#due[0] ?? this.#open).sequence;
    const closed = this.#waiters.filter(({ sequence }) => sequence < unclosed);
    if (closed.length === 0) return;
    this.#waiters = this.#waiters.filter(({ sequence }) => sequence >= unclosed);
    for (const { resolve } of closed) resolve();
  }

  #close({ sequence, batchesByWriter }: FlushBuffer): void {
    const { clock, arena, committer, clusterId, incarnation } = this.#dependencies;
    const flush = closeFlush(
      {
        clusterId,
        incarnation,
        sequence,
        buildsOn: this.#lastClosedSequence,
        createdMs: clock.wallMs(),
        closedMs: clock.monotonicMs(),
      },
      batchesByWriter,
      arena,
    );
    this.#lastClosedSequence = sequence;
    committer.enqueue(this.#upload(flush));
  }

  #upload(flush: Flush): UploadingFlush {
    const attempts = new UploadAttempts();
    this.#uploadsInFlight += 1;
    const outcome = this.#uploadWithRetries(flush, attempts).then((result) => {
      this.#uploadsInFlight -= 1;
      this.#queueDecision();
      return result;
    });
    const abandon = () => {
      attempts.abandon();
      void outcome.then(() => flush.slab.release());
    };
    return { flush, outcome, abandon };
  }

  async #uploadWithRetries(flush: Flush, attempts: UploadAttempts): Promise<UploadOutcome> {
    const { clock, random, objectStore, nameObject, failpoint, settings } = this.#dependencies;
    const giveUpMs = clock.monotonicMs() + settings.uploadDeadlineMs;
    for (let attempt = 0; ; attempt += 1) {
      const objectKey = nameObject(flush.sequence);
      try {
        await withDeadline(
          clock,
          settings.uploadAttemptDeadlineMs,
          (signal) => objectStore.create(objectKey, [flush.body], signal),
          attempts.next(),
        );
        failpoint('after-object');
        return { objectKey };
      } catch (error) {
        const retryMs = backoffDelayMs(attempt, uploadBackoff, random);
        const hopeless = !(error instanceof StorageError) || error.kind === 'corrupt';
        if (hopeless || attempts.areOver() || clock.monotonicMs() + retryMs >= giveUpMs) {
          return {
            error: new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS, 'the object store did not take the records', {
              cause: error,
            }),
          };
        }
        await clock.sleep(retryMs);
      }
    }
  }
}

/** What ends the attempts to upload one flush: the one under way is aborted, a later one does not get far. */
class UploadAttempts {
  #current: AbortController | undefined;
  #abandoned: Error | undefined;

  next(): AbortController {
    this.#current = new AbortController();
    if (this.#abandoned !== undefined) this.#current.abort(this.#abandoned);
    return this.#current;
  }

  abandon(): void {
    this.#abandoned = new Error('the flush was rolled back');
    this.#current?.abort(this.#abandoned);
  }

  areOver(): boolean {
    return this.#abandoned !== undefined;
  }
}
