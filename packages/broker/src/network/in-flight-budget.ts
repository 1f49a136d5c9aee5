/**
 * The bytes of requests that the broker holds at once, over all connections, and the room that is left for them beside all else that
 * takes memory for records. When they are too many, connections that hold more than a floor of their own stop reading: what their
 * clients send waits in the sockets. Small requests of others go on. So that half-read frames can never block each other for
 * ever, one connection at a time may finish the frame it is in although the budget is spent.
 */

/** A connection as the budget sees it. */
export interface BudgetHolder {
  /** In the middle of a frame, with nothing else in work: only reading on can free what it holds. */
  readonly holdsOnlyPartialFrame: boolean;
  resumeReading(): void;
}

export interface InFlightBudgetSettings {
  readonly maxBytes: number;
  /** What every connection may hold whatever the others do. */
  readonly floorBytes: number;
  /** What memory there is for more; below 0 when it is spent. Counts while requests hold some of `maxBytes`, since their answers free it. */
  readonly roomBytes?: () => number;
}

/** Less than this share of the budget in work does not explain the memory in use, and might never free it. */
const memoryCountsFrom = 1 / 8;

export class InFlightBudget {
  readonly #maxBytes: number;
  readonly #floorBytes: number;
  readonly #memoryRoomBytes: () => number;
  readonly #waiting = new Set<BudgetHolder>();
  #privileged: BudgetHolder | undefined;
  #usedBytes = 0;

  constructor({ maxBytes, floorBytes, roomBytes = () => Number.POSITIVE_INFINITY }: InFlightBudgetSettings) {
    this.#maxBytes = maxBytes;
    this.#floorBytes = floorBytes;
    this.#memoryRoomBytes = roomBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get exhausted(): boolean {
    return this.#roomBytes < 0;
  }

  /** Below 0 when it is spent. */
  get #roomBytes(): number {
    const room = this.#maxBytes - this.#usedBytes;
    return this.#usedBytes > this.#maxBytes * memoryCountsFrom ? Math.min(room, this.#memoryRoomBytes()) : room;
  }

  take(bytes: number): void {
    this.#usedBytes += bytes;
  }

  giveBack(bytes: number): void {
    this.#usedBytes -= bytes;
    this.lookAgain();
  }

  /** Memory may have become free for those who wait. */
  lookAgain(): void {
    if (this.#waiting.size > 0) this.#wake();
  }

  /** Whether a connection that holds `heldBytes` may read on. If not, its `resumeReading` is called when it may. */
  mayRead(holder: BudgetHolder, heldBytes: number): boolean {
    if (!this.exhausted || heldBytes <= this.#floorBytes) {
      this.#waiting.delete(holder);
      return true;
    }
    if (holder.holdsOnlyPartialFrame && (this.#privileged === undefined || this.#privileged === holder)) {
      this.#privileged = holder;
      return true;
    }
    if (this.#privileged === holder) this.#privileged = undefined;
    this.#waiting.add(holder);
    return false;
  }

  /** The connection is gone; what it held has been given back. */
  forget(holder: BudgetHolder): void {
    this.#waiting.delete(holder);
    this.endPrivilege(holder);
  }

  /** The connection is no longer in the middle of a frame, so that another one may be allowed to finish. */
  endPrivilege(holder: BudgetHolder): void {
    if (this.#privileged !== holder) return;
    this.#privileged = undefined;
    this.#wake();
  }

  #wake(): void {
    // Everyone woken may read a floor's worth before it is asked again, so no more are woken than that leaves room for.
    const places = Math.ceil(this.#roomBytes / this.#floorBytes);
    const woken = places > 0 ? [...this.#waiting].slice(0, places) : [];
    for (const holder of woken) this.#waiting.delete(holder);
    for (const holder of woken) holder.resumeReading();
    if (this.#privileged === undefined && this.exhausted) this.#choosePrivileged();
  }

  #choosePrivileged(): void {
    for (const holder of this.#waiting) {
      if (!holder.holdsOnlyPartialFrame) continue;
      this.#privileged = holder;
      this.#waiting.delete(holder);
      holder.resumeReading();
      return;
    }
  }
}
