/**
 * The one owner of a process's memory for records: everything that arrives, is written, is kept for readers or is rewritten lies in
 * slabs of one pool, so that what one purpose gives back serves every other and nothing is fragmented. It knows who holds how much,
 * and says whether more may be taken on. Why the shares are what they are: docs/adr/0016-one-owner-of-memory.md.
 */
import type { Clock } from './clock.ts';
import { SlabPool } from './slab-pool.ts';

/** Memory that is dear to nobody: held as long as there is room. */
export interface YieldingMemory {
  /** Bytes of slabs that could be given up. */
  readonly yieldableBytes: number;
  /** Releases the slabs that it can best do without, at least one unless it has none to give. */
  yieldSome(): void;
}

export interface RecordMemorySettings {
  readonly totalBytes: number;
  readonly slabBytes: number;
}

/** Memory that is kept free for somebody. */
export interface Reservation {
  /** So many bytes more of it are held now, and need not be kept free. */
  use(bytes: number): void;
  /** Nothing more is kept free. */
  end(): void;
}

/** How often somebody who waits for room looks again. */
const lookAgainMs = 20;

export class RecordMemory {
  readonly pool: SlabPool;
  readonly totalBytes: number;
  readonly #holders = new Map<string, Set<() => number>>();
  readonly #outside = new Set<() => number>();
  readonly #yielding = new Set<YieldingMemory>();
  #reservedBytes = 0;

  constructor({ totalBytes, slabBytes }: RecordMemorySettings) {
    this.totalBytes = totalBytes;
    this.pool = new SlabPool({
      slabBytes,
      maxIdleSlabs: Number.POSITIVE_INFINITY,
      mayKeep: (idleBytes) => this.heldBytes + idleBytes <= totalBytes,
      makeRoom: (bytes) => this.#makeRoom(bytes),
    });
  }

  /** Everything that is held, by whomever; what is kept for reuse is not among it. */
  get heldBytes(): number {
    return this.pool.bytesInUse + sum(this.#outside);
  }

  /** What could be held besides, with everything given up that may be and what others wait for left alone. Below 0 when there is too much. */
  get roomBytes(): number {
    let yieldable = 0;
    for (const memory of this.#yielding) yieldable += memory.yieldableBytes;
    return this.totalBytes - this.heldBytes - this.#reservedBytes + yieldable;
  }

  /** Somebody says from now on what is held for a purpose, in slabs of the pool; answers what ends that. */
  count(purpose: string, heldBytes: () => number): () => void {
    const holders = this.#holders.get(purpose) ?? new Set();
    this.#holders.set(purpose, holders.add(heldBytes));
    return () => holders.delete(heldBytes);
  }

  /** As `count`, for memory that lies elsewhere and takes room from the pool. */
  countOutside(purpose: string, heldBytes: () => number): () => void {
    const end = this.count(purpose, heldBytes);
    this.#outside.add(heldBytes);
    return () => {
      this.#outside.delete(heldBytes);
      end();
    };
  }

  /** What was said to be held for the purpose. */
  heldFor(purpose: string): number {
    return sum(this.#holders.get(purpose) ?? []);
  }

  /** From now on its slabs go before others are refused; answers what ends that. */
  addYielding(memory: YieldingMemory): () => void {
    this.#yielding.add(memory);
    return () => this.#yielding.delete(memory);
  }

  /**
   * Keeps so many bytes free of everybody else and waits until they are. Undefined, and nothing is kept, when they did not become
   * free within `limitMs`. Rejects when the signal aborts.
   */
  async reserve(
    bytes: number,
    { clock, limitMs, signal }: { readonly clock: Clock; readonly limitMs: number; readonly signal: AbortSignal },
  ): Promise<Reservation | undefined> {
    let keptBytes = 0;
    const keep = (wanted: number) => {
      this.#reservedBytes += wanted - keptBytes;
      keptBytes = wanted;
    };
    keep(bytes);
    const untilMs = clock.monotonicMs() + limitMs;
    try {
      signal.throwIfAborted();
      while (this.roomBytes < 0 && clock.monotonicMs() < untilMs) await clock.sleep(lookAgainMs, signal);
    } catch (error) {
      keep(0);
      throw error;
    }
    if (this.roomBytes < 0) {
      keep(0);
      return undefined;
    }
    return { use: (used) => keep(Math.max(0, keptBytes - used)), end: () => keep(0) };
  }

  /** Gives back to the system what was not used since the last call. */
  freeUnused(): void {
    this.pool.freeUnused();
  }

  #makeRoom(bytes: number): void {
    for (const memory of this.#yielding) {
      while (this.heldBytes + bytes > this.totalBytes && memory.yieldableBytes > 0) memory.yieldSome();
    }
    // What is kept for reuse and cannot serve this makes room as well.
    this.pool.freeIdle(
      Math.max(0, bytes === this.pool.slabBytes ? bytes : 0, this.totalBytes - this.heldBytes - bytes),
    );
  }
}

function sum(parts: Iterable<() => number>): number {
  let bytes = 0;
  for (const part of parts) bytes += part();
  return bytes;
}
