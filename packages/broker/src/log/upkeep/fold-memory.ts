/**
 * What a fold reads into: slabs that everything else that holds records shares, kept free before a round begins and given back as
 * soon as it is over.
 */
import { SlabArena, SlabPool, type Clock, type RecordMemory, type Reservation, type Slab } from '@kafscale/runtime';

export interface FoldMemorySettings {
  /** Unbounded, and of its own, unless told. */
  readonly memory?: RecordMemory | undefined;
  readonly roundBytes: number;
}

/** Memory for one read. */
export interface BorrowedBytes {
  /** Content undefined. */
  readonly bytes: Buffer;
  giveBack(): void;
}

/** What reads of a round leave empty at the ends of slabs, at most. */
const slabShare = 1.25;
/** How long a round waits for requests to give way. While a store hangs they do not, and the next round tries again. */
const roomLimitMs = 5_000;
const ownSlabBytes = 4 * 2 ** 20;

export class FoldMemory {
  /** Of batches that a round may hold. */
  readonly roundBytes: number;
  readonly #memory: RecordMemory | undefined;
  readonly #pool: SlabPool;
  readonly #arena: SlabArena;
  readonly #slabs: Slab[] = [];
  #reservation: Reservation | undefined;
  #heldBytes = 0;

  constructor({ memory, roundBytes }: FoldMemorySettings) {
    this.#memory = memory;
    this.roundBytes = roundBytes;
    this.#pool = memory?.pool ?? new SlabPool({ slabBytes: ownSlabBytes, maxIdleSlabs: 0 });
    this.#arena = new SlabArena(this.#pool);
  }

  /** Bytes that the round holds. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** False when there is no room for a round now. Rejects with the signal's reason. */
  async hasRoom(clock: Clock, signal: AbortSignal): Promise<boolean> {
    if (this.#memory === undefined) return true;
    const wanted = { clock, limitMs: roomLimitMs, signal };
    this.#reservation = await this.#memory.reserve(this.roundBytes * slabShare, wanted);
    return this.#reservation !== undefined;
  }

  /** Content undefined. */
  allocate(length: number): Buffer {
    const { bytes, slab } = this.#arena.allocate(length);
    this.#slabs.push(slab);
    this.#heldBytes += length;
    this.#reservation?.use(length);
    return bytes;
  }

  /** Content undefined; to be given back once what reads into it has settled, before the round is over. */
  borrow(length: number): BorrowedBytes {
    const slab = this.#pool.acquire(length);
    const { length: slabBytes } = slab.bytes;
    this.#heldBytes += slabBytes;
    return {
      bytes: slab.bytes.subarray(0, length),
      giveBack: () => {
        this.#heldBytes -= slabBytes;
        slab.release();
      },
    };
  }

  /** The round is over, well or not: every call that reads into it or sends it has settled. */
  free(): void {
    for (const slab of this.#slabs.splice(0)) slab.release();
    this.#arena.close();
    this.#reservation?.end();
    this.#reservation = undefined;
    this.#heldBytes = 0;
  }
}
