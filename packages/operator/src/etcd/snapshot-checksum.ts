/** Tells whether a snapshot, seen piece by piece, is whole: etcd appends the SHA-256 of everything before it. */
import { createHash } from 'node:crypto';

const digestBytes = 32;

export class SnapshotChecksum {
  readonly #database = createHash('sha256');
  /** The last bytes so far: at the end, what etcd appended. */
  #tail = Buffer.alloc(0);

  add(piece: Uint8Array): void {
    const known = Buffer.concat([this.#tail, piece]);
    const border = Math.max(0, known.length - digestBytes);
    this.#database.update(known.subarray(0, border));
    this.#tail = known.subarray(border);
  }

  /** Once, at the end. */
  isWhole(): boolean {
    return this.#tail.length === digestBytes && this.#database.digest().equals(this.#tail);
  }
}

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
