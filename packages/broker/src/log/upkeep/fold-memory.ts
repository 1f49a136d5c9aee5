/** What a fold reads into: counted while it is held, and given back as soon as the round is over. */
import { freeMemory } from '@kafscale/runtime';

export class FoldMemory {
  readonly #buffers: Buffer[] = [];
  #heldBytes = 0;

  /** Bytes that the round holds. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Content undefined. */
  allocate(length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    this.#buffers.push(bytes);
    this.#heldBytes += length;
    return bytes;
  }

  /** Nothing uses any of it any more. */
  free(): void {
    for (const bytes of this.#buffers.splice(0)) freeMemory(bytes);
    this.#heldBytes = 0;
  }

  /** Something may use it still: it is left to the garbage collector. */
  forget(): void {
    this.#buffers.length = 0;
    this.#heldBytes = 0;
  }
}
