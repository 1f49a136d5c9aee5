/**
 * One client connection: its requests are started as soon as they may be and answered in the order they came, its bytes are read
 * only as fast as its answers are taken, and whatever it holds is given back when it ends. Deadlines are checked by `sweep`, so
 * that a connection needs no timers of its own.
 */
import { DecodeError } from '@kafscale/protocol';
import type { Clock, Slab } from '@kafscale/runtime';
import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { adoptSocket, kernelBacklogBytes, type ByteSink } from './adopt-socket.ts';
import { about, type Dispatcher } from './dispatcher.ts';
import type { ClientSoftware, Exchange, ExchangeConnection } from './exchange.ts';
import { landingBytes, type FrameMemory } from './frame-memory.ts';
import { FrameReader, type FrameSink } from './frame-reader.ts';
import type { BudgetHolder, InFlightBudget } from './in-flight-budget.ts';
import type { LimitedLog } from './limited-log.ts';
import { OutgoingAnswers } from './outgoing-answers.ts';

/** Why a connection ended; a label of a metric. */
export type CloseReason =
  | 'client'
  | 'socket-error'
  | 'bad-request'
  | 'refused'
  | 'frame-deadline'
  | 'write-stall'
  | 'idle'
  | 'memory-pressure'
  | 'shutdown';

export interface ConnectionLimits {
  readonly maxRequestBytes: number;
  readonly maxInFlightRequests: number;
  readonly frameDeadlineMs: number;
  readonly writeStallMs: number;
  readonly idleTimeoutMs: number;
}

export interface ConnectionDeps {
  readonly dispatcher: Dispatcher;
  readonly memory: FrameMemory;
  readonly budget: InFlightBudget;
  readonly clock: Clock;
  readonly log: LimitedLog;
  readonly limits: ConnectionLimits;
  readonly onReceived: (bytes: number) => void;
  readonly onSent: (bytes: number) => void;
  /** Answers that clients do not take hold more memory than is meant for them. */
  readonly answersAreMany: () => boolean;
  /** The socket is closed and everything that the connection held is given back, but for requests still in work. */
  readonly onClosed: (connection: Connection, reason: CloseReason) => void;
}

const unknownSoftware: ClientSoftware = { name: '', version: '' };
/** No request is started while more bytes than this wait for the client to take them. */
const maxUnsentBytes = 2 ** 20;
/** Requests cut in one go; the other connections have their turn then. */
const maxFramesPerTurn = 512;

export class Connection implements ByteSink, FrameSink, BudgetHolder, ExchangeConnection {
  readonly connectionId: number;
  readonly remoteAddress: string;
  readonly principal = 'User:ANONYMOUS';
  clientSoftware = unknownSoftware;

  readonly #deps: ConnectionDeps;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #outgoing: OutgoingAnswers;
  /** In the order of arrival; the first `#startedCount` are in work or answered. */
  readonly #exchanges: Exchange[] = [];
  #startedCount = 0;
  #isStarting = false;
  #isCutting = false;
  #framesThisTurn = 0;

  /** Bytes counted in the budget: requests without an answer, and the part of a frame that has arrived. */
  #requestBytes = 0;
  #partialBytes = 0;

  #isReading = true;
  /** No more requests are taken; what is in work is answered, then the connection ends. */
  #isFinishing = false;
  /** Nothing of this connection is answered any more. */
  #isOver = false;
  #closeReason: CloseReason = 'client';
  #abort: AbortController | undefined;

  #nowMs: number;
  #activeMs: number;
  /** When the frame in the middle of which the connection is last grew by a landing's worth; undefined between frames. */
  #frameProgress: { atMs: number; bytes: number } | undefined;
  #writeProgress: { atMs: number; batches: number; backlogBytes: number } | undefined;

  constructor(accepted: Socket, connectionId: number, remoteAddress: string, deps: ConnectionDeps) {
    this.connectionId = connectionId;
    this.remoteAddress = remoteAddress;
    this.#deps = deps;
    this.#nowMs = deps.clock.monotonicMs();
    this.#activeMs = this.#nowMs;
    this.#reader = new FrameReader(deps.memory, deps.limits.maxRequestBytes, this);
    this.#socket = adoptSocket(accepted, this);
    this.#outgoing = new OutgoingAnswers(this.#socket, () => this.#onTaken());
    this.#socket
      .on('error', () => this.#destroy('socket-error'))
      .on('end', () => this.#destroy('client'))
      .on('close', () => this.#onSocketClosed())
      .resume();
  }

  /** Aborts when the connection is gone or the broker stops. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      setMaxListeners(0, this.#abort.signal); // each topic or partition of a request may wait by itself
      if (this.#isOver || this.#isFinishing) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  get holdsOnlyPartialFrame(): boolean {
    return this.#exchanges.length === 0 && this.#partialBytes > 0;
  }

  nextBuffer(): Buffer {
    return this.#reader.nextBuffer();
  }

  received(length: number): boolean {
    if (this.#isOver) return false;
    this.#nowMs = this.#deps.clock.monotonicMs();
    this.#activeMs = this.#nowMs;
    this.#deps.onReceived(length);
    this.#framesThisTurn = 0;
    this.#isCutting = true;
    this.#reader.received(length);
    this.#isCutting = false;
    this.#isReading = this.#mayReadOn();
    if (!this.#isReading && this.#deps.budget.exhausted) this.#reader.makeSmall();
    this.#outgoing.flush(this.#deps.onSent);
    return this.#isReading;
  }

  onFrame(bytes: Buffer, start: number, end: number, slab: Slab | undefined): boolean {
    if (this.#isOver) {
      slab?.release();
      return false;
    }
    let exchange: Exchange;
    try {
      exchange = this.#deps.dispatcher.open(this, bytes, start, end, slab, this.#nowMs);
    } catch (error) {
      slab?.release();
      this.#refuse(error);
      return false;
    }
    this.#framesThisTurn += 1;
    this.#frameProgress = undefined;
    this.#requestBytes += exchange.sizeBytes;
    this.#deps.budget.take(exchange.sizeBytes);
    this.#exchanges.push(exchange);
    this.#startMore();
    return this.#mayCut();
  }

  onBadLength(length: number): void {
    this.#refuse(new DecodeError(`a request of ${length} bytes`));
  }

  onAnswered(exchange: Exchange): void {
    exchange.releaseRequest();
    this.#requestBytes -= exchange.sizeBytes;
    this.#deps.budget.giveBack(exchange.sizeBytes);
    if (this.#isOver) {
      exchange.complete();
      return;
    }
    this.#sendInOrder();
    this.#startMore();
    this.#readOn();
  }

  resumeReading(): void {
    this.#readOn();
  }

  /** Takes no more requests, answers those that are here, then ends. What only waits is told to stop by the signal. */
  finish(): void {
    if (this.#isFinishing || this.#isOver) return;
    this.#isFinishing = true;
    this.#isReading = false;
    this.#socket.pause();
    this.#abort?.abort();
    this.#endWhenDone();
  }

  /** Ends the connection at once. */
  destroy(reason: CloseReason): void {
    this.#destroy(reason);
  }

  /** Checks every deadline; called about once a second. */
  sweep(nowMs: number): void {
    const { limits, budget } = this.#deps;
    const stalledMs = this.#writeStalledMs(nowMs);
    if (stalledMs >= limits.writeStallMs) {
      this.#destroy('write-stall');
      return;
    }
    if (stalledMs >= sheddingMs && this.#deps.answersAreMany()) {
      this.#destroy('memory-pressure');
      return;
    }
    if (this.#isOver) return;
    const frame = this.#frameProgress;
    if (frame !== undefined && this.#isReading) {
      if (this.#partialBytes - frame.bytes >= landingBytes) {
        this.#frameProgress = { atMs: nowMs, bytes: this.#partialBytes };
      } else if (nowMs - frame.atMs >= limits.frameDeadlineMs) {
        this.#destroy('frame-deadline');
      } else if (budget.exhausted && this.#partialBytes > landingBytes && nowMs - frame.atMs >= sheddingMs) {
        this.#destroy('memory-pressure');
      }
      return;
    }
    const isIdle = this.#exchanges.length === 0 && this.#outgoing.isEmpty && this.#isReading;
    if (isIdle && nowMs - this.#activeMs >= limits.idleTimeoutMs) this.#destroy('idle');
  }

  /** For how long the client has taken nothing of what waits for it. */
  #writeStalledMs(nowMs: number): number {
    if (this.#outgoing.isEmpty) {
      this.#writeProgress = undefined;
      return 0;
    }
    const batches = this.#outgoing.takenBatches;
    const backlogBytes = kernelBacklogBytes(this.#socket);
    const before = this.#writeProgress;
    if (before === undefined || before.batches !== batches || before.backlogBytes - backlogBytes >= landingBytes) {
      this.#writeProgress = { atMs: nowMs, batches, backlogBytes };
      return 0;
    }
    return nowMs - before.atMs;
  }

  #mayCut(): boolean {
    return (
      !this.#isOver &&
      !this.#isFinishing &&
      this.#exchanges.length < this.#deps.limits.maxInFlightRequests &&
      this.#framesThisTurn < maxFramesPerTurn &&
      this.#outgoing.unsentBytes < maxUnsentBytes
    );
  }

  /** Brings the budget up to date with what has arrived, and says whether more may. */
  #mayReadOn(): boolean {
    if (this.#isOver || this.#isFinishing) return false;
    const { budget } = this.#deps;
    const pending = this.#reader.pendingBytes;
    const grown = pending - this.#partialBytes;
    this.#partialBytes = pending;
    if (grown > 0) budget.take(grown);
    else if (grown < 0) budget.giveBack(-grown);
    if (pending > 0) this.#frameProgress ??= { atMs: this.#nowMs, bytes: pending };
    else this.#frameProgress = undefined;
    if (pending === 0 || this.#exchanges.length > 0) budget.endPrivilege(this);

    if (this.#framesThisTurn >= maxFramesPerTurn) setImmediate(() => this.#nextTurn());
    if (this.#mayCut()) return budget.mayRead(this, this.#requestBytes + pending);
    budget.endPrivilege(this);
    return false;
  }

  #nextTurn(): void {
    this.#framesThisTurn = 0;
    this.#readOn();
  }

  /** Goes on where reading had stopped, if nothing speaks against it any more. */
  #readOn(): void {
    if (this.#isReading || this.#isCutting || !this.#mayCut()) return;
    this.#nowMs = this.#deps.clock.monotonicMs();
    this.#frameProgress = undefined; // the time during which nothing was read is not the client's
    this.#isCutting = true;
    this.#reader.cut();
    this.#isCutting = false;
    this.#isReading = this.#mayReadOn();
    this.#outgoing.flushSoon(this.#deps.onSent);
    if (this.#isReading) this.#socket.resume();
  }

  #startMore(): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    while (this.#startedCount < this.#exchanges.length && !this.#isOver) {
      const exchange = this.#exchanges[this.#startedCount]!;
      if (this.#startedCount > 0 && exchange.handler.concurrent !== true) break;
      if (this.#outgoing.unsentBytes >= maxUnsentBytes) break;
      this.#startedCount += 1;
      try {
        this.#deps.dispatcher.run(exchange);
      } catch (error) {
        exchange.releaseRequest();
        this.#requestBytes -= exchange.sizeBytes;
        this.#deps.budget.giveBack(exchange.sizeBytes);
        exchange.complete();
        this.#refuse(error, exchange);
      }
    }
    this.#isStarting = false;
  }

  #sendInOrder(): void {
    for (let first = this.#exchanges[0]; first?.response !== undefined; first = this.#exchanges[0]) {
      this.#exchanges.shift();
      this.#startedCount -= 1;
      this.#outgoing.add(first);
      if (first.endsConnection) {
        this.#closeReason = 'refused';
        this.#endAfterFlush();
        return;
      }
    }
    if (!this.#isCutting) this.#outgoing.flushSoon(this.#deps.onSent);
    if (this.#isFinishing) this.#endWhenDone();
  }

  /** The kernel took a batch of answers. */
  #onTaken(): void {
    this.#activeMs = this.#deps.clock.monotonicMs();
    if (this.#isOver) return;
    this.#startMore();
    this.#readOn();
  }

  #endWhenDone(): void {
    if (this.#exchanges.length > 0) return;
    this.#closeReason = 'shutdown';
    this.#endAfterFlush();
  }

  #endAfterFlush(): void {
    this.#outgoing.flush(this.#deps.onSent);
    this.#isOver = true;
    this.#abort?.abort();
    this.#socket.destroySoon();
  }

  /** The client broke the protocol: Kafka closes without a word. */
  #refuse(error: unknown, exchange?: Exchange): void {
    const { log } = this.#deps;
    const fields =
      exchange === undefined ? { connectionId: this.connectionId, remoteAddress: this.remoteAddress } : about(exchange);
    if (error instanceof DecodeError)
      log.info({ ...fields, reason: error.message }, 'malformed request, connection closed');
    else log.error({ ...fields, err: error }, 'request cannot be read, connection closed');
    this.#destroy('bad-request');
  }

  #destroy(reason: CloseReason): void {
    if (!this.#isOver) this.#closeReason = reason;
    this.#isOver = true;
    this.#abort?.abort();
    this.#socket.destroy();
  }

  #onSocketClosed(): void {
    const { budget } = this.#deps;
    this.#isOver = true;
    this.#abort?.abort();
    this.#reader.close();
    budget.giveBack(this.#partialBytes);
    this.#partialBytes = 0;
    budget.forget(this);
    this.#outgoing.close();
    for (const [index, exchange] of this.#exchanges.splice(0).entries()) {
      if (exchange.response !== undefined) {
        exchange.complete();
      } else if (index >= this.#startedCount) {
        exchange.releaseRequest();
        budget.giveBack(exchange.sizeBytes);
        exchange.complete();
      }
    }
    this.#deps.onClosed(this, this.#closeReason);
  }
}

/** With memory short, a large frame that has not grown for this long is given up, and so is a client that takes nothing of its answers. */
const sheddingMs = 5_000;
