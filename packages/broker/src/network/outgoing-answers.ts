/**
 * Answers of one connection on their way to the kernel: collected until the end of the turn, then written in one gathered call
 * without being joined. What an answer points at is released once the kernel has it, or the connection is gone.
 */
import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';

const none: readonly Exchange[] = [];

export class OutgoingAnswers {
  readonly #socket: Socket;
  readonly #onTaken: () => void;
  #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  /** Exchanges behind `#chunks` whose answers hold something. */
  #holding: Exchange[] = [];
  /** Of every write that is not through yet, in order, the exchanges that hold something. */
  readonly #written: (readonly Exchange[])[] = [];
  #takenBatches = 0;
  #isFlushPlanned = false;

  constructor(socket: Socket, onTaken: () => void) {
    this.#socket = socket;
    this.#onTaken = onTaken;
  }

  /** Nothing waits for the kernel. */
  get isEmpty(): boolean {
    return this.#written.length === 0 && this.#chunkBytes === 0;
  }

  /** Bytes that the kernel has not taken as a whole. */
  get unsentBytes(): number {
    return this.#chunkBytes + this.#socket.writableLength;
  }

  /** Writes that the kernel has taken since the start. */
  get takenBatches(): number {
    return this.#takenBatches;
  }

  add(exchange: Exchange): void {
    for (const chunk of exchange.response!) {
      this.#chunks.push(chunk);
      this.#chunkBytes += chunk.length;
    }
    if (exchange.hasReleases) this.#holding.push(exchange);
    else exchange.complete();
  }

  /** Writes at the end of this turn, together with what is added until then. */
  flushSoon(onSent: (bytes: number) => void): void {
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    process.nextTick(() => {
      this.#isFlushPlanned = false;
      this.flush(onSent);
    });
  }

  flush(onSent: (bytes: number) => void): void {
    const chunks = this.#chunks;
    const holding = this.#holding;
    if (holding.length > 0) this.#holding = [];
    if (chunks.length === 0) {
      for (const exchange of holding) exchange.complete();
      return;
    }
    onSent(this.#chunkBytes);
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#written.push(holding.length > 0 ? holding : none);
    writeAll(this.#socket, chunks, this.#onWritten);
  }

  /** The connection is gone: nothing is read from the answers any more. */
  close(): void {
    for (const batch of this.#written.splice(0)) for (const exchange of batch) exchange.complete();
    for (const exchange of this.#holding.splice(0)) exchange.complete();
    this.#chunks = [];
    this.#chunkBytes = 0;
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (error) return; // the socket closes, and `close` completes what is left
    const batch = this.#written.shift();
    if (batch === undefined) return;
    this.#takenBatches += 1;
    for (const exchange of batch) exchange.complete();
    this.#onTaken();
  };
}

function writeAll(socket: Socket, chunks: readonly Uint8Array[], onWritten: (error?: Error | null) => void): void {
  const last = chunks.length - 1;
  if (last === 0) {
    socket.write(chunks[0]!, onWritten);
    return;
  }
  socket.cork();
  for (let index = 0; index < last; index += 1) socket.write(chunks[index]!);
  socket.write(chunks[last]!, onWritten);
  socket.uncork();
}
