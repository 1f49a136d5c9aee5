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

/** A closed flush before its upload. */
interface WaitingUpload {
  begin(): void;
  /** It is never begun. */
  giveUp(): void;
}

const uploadBackoff = { baseMs: 50, maxMs: 2_000 };

export class Flusher {
  readonly #dependencies: FlusherDependencies;
  readonly #pacer: FlushPacer;
  #open: FlushBuffer;
  #lastClosedSequence = -1;
  /** Closed and waiting for a place, oldest first: however long the store takes, no flush grows beyond its bounds. */
  readonly #waitingUploads = new Set<WaitingUpload>();
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
    if (!this.#hasRoomFor(batch)) this.#closeOpen();
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

  /** Closes the open flush, whatever the pacer thinks. */
  flush(): void {
    if (!this.#open.isEmpty) this.#closeOpen();
  }

  /**
   * The closed flushes in `failed` (oldest first) are not in the log and never will be: they and everything accepted after them are
   * answered with `error`, and offsets and producer sequences return to the committed state.
   */
  rollBack(failed: readonly UploadingFlush[], error: KafkaError): void {
    const abandoned = this.#open.batchesByWriter;
    const firstFailed = failed[0]?.flush.sequence ?? this.#open.sequence;
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
    for (const [writer, accepted] of abandoned) {
      if (!nextOffsets.has(writer)) nextOffsets.set(writer, writer.nextOffset);
      batches.push(...accepted);
    }
    for (const [writer, nextOffset] of nextOffsets) writer.rollBack(firstFailed, nextOffset);
    for (const upload of failed) upload.abandon();
    for (const batch of batches) batch.settle({ committed: false, error });
  }

  /** Nothing is flushed after this. What is open or under way must have been settled before, or is rolled back by the caller. */
  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    for (const waiting of this.#waitingUploads) waiting.giveUp();
    this.#waitingUploads.clear();
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
    const decision = this.#pacer.decide(this.#open, this.#uploadsInFlight, this.#dependencies.committer.unsettledCount);
    if (decision === 'close') this.#closeOpen();
    else if (decision !== 'wait') {
      this.#cancelTimer = this.#dependencies.clock.schedule(decision.afterMs, () => this.#decide());
    }
  }

  /** A batch that is larger than a flush should be gets one of its own. */
  #hasRoomFor({ bytes }: BatchToAppend): boolean {
    const { maxBytes, maxEntries } = this.#dependencies.settings;
    const { isEmpty, sizeBytes, entryCount } = this.#open;
    return isEmpty || (sizeBytes + bytes.length <= maxBytes && entryCount < maxEntries);
  }

  /**
   * Lays the open flush out, also when no upload may begin: in its object its batches are held once and without gaps, while the
   * requests they came in lie between others that are answered sooner or later.
   */
  #closeOpen(): void {
    const full = this.#open;
    this.#open = new FlushBuffer(full.sequence + 1);
    this.#close(full);
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
    for (const batches of batchesByWriter.values()) for (const batch of batches) batch.copied();
    committer.enqueue(this.#upload(flush));
  }

  #upload(flush: Flush): UploadingFlush {
    const attempts = new UploadAttempts();
    const { outcome, waiting } = this.#waitingUpload(flush, attempts);
    this.#waitingUploads.add(waiting);
    this.#beginUploads();
    const abandon = () => {
      if (this.#waitingUploads.delete(waiting)) waiting.giveUp();
      attempts.abandon();
      void outcome.then(() => flush.slab.release());
    };
    return { flush, outcome, abandon };
  }

  #waitingUpload(flush: Flush, attempts: UploadAttempts) {
    let resolve: (outcome: UploadOutcome) => void;
    const outcome = new Promise<UploadOutcome>((settle) => (resolve = settle));
    const waiting: WaitingUpload = {
      begin: () => {
        this.#uploadsInFlight += 1;
        void this.#uploadWithRetries(flush, attempts).then((result) => {
          this.#uploadsInFlight -= 1;
          resolve(result);
          this.#beginUploads();
          this.#queueDecision();
        });
      },
      giveUp: () => resolve({ error: new KafkaError(ErrorCode.NOT_ENOUGH_REPLICAS, 'the flush was given up') }),
    };
    return { outcome, waiting };
  }

  /** As many as there are places for. */
  #beginUploads(): void {
    for (const waiting of this.#waitingUploads) {
      if (this.#uploadsInFlight >= this.#dependencies.settings.maxUploads) return;
      this.#waitingUploads.delete(waiting);
      waiting.begin();
    }
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
