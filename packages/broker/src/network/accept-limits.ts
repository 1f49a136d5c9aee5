/**
 * Who may connect: so many connections in all and per address, and so many new ones per second, so that a storm of them does not
 * take the event loop from those that are already served.
 */

export interface AcceptLimitsSettings {
  readonly maxConnections: number;
  readonly maxConnectionsPerIp: number;
  readonly maxConnectionsPerSecond: number;
}

/** Why a connection was closed on arrival; a label of a metric. */
export type RefusalReason = 'total' | 'address' | 'shutdown';

export class AcceptLimits {
  readonly #settings: AcceptLimitsSettings;
  readonly #byAddress = new Map<string, number>();
  #total = 0;
  #tokens: number;
  #refilledMs: number;

  constructor(settings: AcceptLimitsSettings, nowMs: number) {
    this.#settings = settings;
    this.#tokens = settings.maxConnectionsPerSecond;
    this.#refilledMs = nowMs;
  }

  get total(): number {
    return this.#total;
  }

  /** Counts the connection, or says why it may not stay. */
  admit(address: string): RefusalReason | undefined {
    if (this.#total >= this.#settings.maxConnections) return 'total';
    const count = this.#byAddress.get(address) ?? 0;
    if (count >= this.#settings.maxConnectionsPerIp) return 'address';
    this.#byAddress.set(address, count + 1);
    this.#total += 1;
    return undefined;
  }

  /** An admitted connection ended. */
  leave(address: string): void {
    this.#total -= 1;
    const count = this.#byAddress.get(address)! - 1;
    if (count === 0) this.#byAddress.delete(address);
    else this.#byAddress.set(address, count);
  }

  /** Whether one more connection may be started now; if so it is counted. */
  tryStart(nowMs: number): boolean {
    const { maxConnectionsPerSecond } = this.#settings;
    const refill = ((nowMs - this.#refilledMs) / 1_000) * maxConnectionsPerSecond;
    this.#refilledMs = nowMs;
    this.#tokens = Math.min(maxConnectionsPerSecond, this.#tokens + refill);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
