/**
 * Lets a StoreHealth see every create and read. While creates fail it also tries a tiny one itself now and then, since nobody else
 * does once batches are refused: that is the way back. What it writes it removes.
 */
import { backoffDelayMs, type BackoffSettings, type CancelTimer, type Clock, type Random } from '@kafscale/runtime';
import { healthProbeKey } from './health-probe-key.ts';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectStoreCapabilities } from './object-store.ts';
import { StorageError } from './storage-error.ts';
import type { JudgedOperation, StoreHealth } from './store-health.ts';

export interface HealthObjectStoreOptions {
  readonly health: StoreHealth;
  readonly clock: Clock;
  readonly random: Random;
  readonly namespace: string;
  /** Between two tries of a create while creates fail. */
  readonly probeBackoff?: BackoffSettings;
  /** How long such a try may take. */
  readonly probeDeadlineMs?: number;
}

/** How often time that passes is looked at. */
const refreshMs = 500;
const probeBackoffDefault = { baseMs: 1_000, maxMs: 4_000 };
const probeDeadlineDefaultMs = 5_000;

export class HealthObjectStore implements ObjectStore {
  readonly #inner: ObjectStore;
  readonly #options: HealthObjectStoreOptions;
  #cancelRefresh: CancelTimer = () => undefined;
  #cancelProbe: CancelTimer | undefined;
  #failedProbes = 0;
  readonly #closing = new AbortController();

  constructor(inner: ObjectStore, options: HealthObjectStoreOptions) {
    this.#inner = inner;
    this.#options = options;
    options.health.onChange(({ canWrite }) => {
      if (!canWrite) this.#planProbe();
    });
    this.#refresh();
  }

  get capabilities(): ObjectStoreCapabilities {
    return this.#inner.capabilities;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#seen('create', () => this.#inner.create(key, body, signal));
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    return this.#seen('read', () => this.#inner.read(key, range, signal, into));
  }

  list(prefix: string, signal?: AbortSignal): AsyncIterable<ObjectInfo> {
    return this.#inner.list(prefix, signal);
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#inner.delete(keys, signal);
  }

  close(): Promise<void> {
    this.#cancelRefresh();
    this.#cancelProbe?.();
    this.#closing.abort(new Error('the object store was closed'));
    return this.#inner.close();
  }

  async #seen<T>(operation: JudgedOperation, call: () => Promise<T>): Promise<T> {
    const end = this.#options.health.began(operation);
    try {
      const result = await call();
      end('ok');
      return result;
    } catch (error) {
      end(error instanceof StorageError ? error.kind : 'failed');
      throw error;
    }
  }

  #refresh(): void {
    this.#cancelRefresh = this.#options.clock.schedule(refreshMs, () => {
      this.#options.health.refresh();
      this.#refresh();
    });
  }

  #planProbe(): void {
    if (this.#cancelProbe !== undefined || this.#closing.signal.aborted) return;
    const { clock, random, probeBackoff = probeBackoffDefault } = this.#options;
    // A good answer is soon followed by those that make sure of it.
    const delayMs =
      this.#failedProbes === 0
        ? probeBackoff.baseMs / 10
        : probeBackoff.baseMs / 2 + backoffDelayMs(this.#failedProbes, probeBackoff, random);
    this.#cancelProbe = clock.schedule(delayMs, () => {
      this.#cancelProbe = () => undefined; // one at a time, also while it is under way
      void this.#probe().then(() => {
        this.#cancelProbe = undefined;
        if (!this.#options.health.canWrite) this.#planProbe();
      });
    });
  }

  async #probe(): Promise<void> {
    const { clock, random, namespace, probeDeadlineMs = probeDeadlineDefaultMs } = this.#options;
    const key = healthProbeKey(namespace, 'write', random);
    const controller = new AbortController();
    const stop = () => controller.abort(new Error('no answer in time'));
    const cancel = clock.schedule(probeDeadlineMs, stop);
    this.#closing.signal.addEventListener('abort', stop, { once: true });
    try {
      await this.create(key, [Buffer.from('is the object store there?')], controller.signal);
      this.#failedProbes = 0;
      await this.#inner.delete([key], controller.signal);
    } catch {
      this.#failedProbes += 1; // the health saw what came of it; an object that is left is removed by the next start
    } finally {
      cancel();
      this.#closing.signal.removeEventListener('abort', stop);
    }
  }
}
