/**
 * The world between a simulated process and its stores: calls are delayed, fail before or after they took effect, hang, and writes
 * are delivered again later. What a process does after its crash reaches nobody.
 */
import type { Clock, Random } from '@kafscale/runtime';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataStore, Transaction } from '../metadata/metadata-store.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { StorageError } from '../storage/storage-error.ts';

/** What may happen to one call. */
type Fate = 'answered' | 'lost before' | 'lost after' | 'hangs' | 'hangs and applies late' | 'delivered again';

const storageFates: readonly Fate[] = ['lost before', 'lost after', 'hangs', 'hangs and applies late'];
const metadataFates: readonly Fate[] = [...storageFates, 'delivered again', 'delivered again', 'delivered again'];

export interface WorldSettings {
  readonly clock: Clock;
  readonly random: Random;
  /** Share of calls that something happens to; the world sets it to 0 when it heals. */
  faultRate: number;
}

/** One process's line to its stores. */
export class Line {
  readonly #world: WorldSettings;
  #crashed = false;
  #pausedUntilMs = 0;

  constructor(world: WorldSettings) {
    this.#world = world;
  }

  get crashed(): boolean {
    return this.#crashed;
  }

  get paused(): boolean {
    return this.#world.clock.monotonicMs() < this.#pausedUntilMs;
  }

  /** Nothing of the process goes out or comes in any more. */
  crash(): void {
    this.#crashed = true;
  }

  /** Nothing goes out or comes in for a while, as for a process that is stopped and resumed. */
  pause(durationMs: number): void {
    this.#pausedUntilMs = this.#world.clock.monotonicMs() + durationMs;
  }

  objectStore(store: ObjectStore): ObjectStore {
    return {
      capabilities: store.capabilities,
      create: (key, body, signal) => {
        const bytes = Buffer.concat(body);
        return this.#call(
          storageFates,
          () => store.create(key, [bytes]),
          signal,
          () => lost('object store'),
        );
      },
      read: (key, range, signal) =>
        this.#call(
          [],
          () => store.read(key, range),
          signal,
          () => lost('object store'),
        ),
      list: (prefix) => store.list(prefix),
      delete: (keys) => store.delete(keys),
      close: () => store.close(),
    };
  }

  metadataStore(store: MetadataStore): MetadataStore {
    const call = <T>(work: () => Promise<T>, signal?: AbortSignal) =>
      this.#call(['lost before', 'hangs'], work, signal, unanswered);
    return {
      range: (request, signal) => call(() => store.range(request), signal),
      transact: (transaction: Transaction, signal) =>
        this.#call(metadataFates, () => store.transact(transaction), signal, unanswered),
      grantLease: (ttlMs, signal) => call(() => store.grantLease(ttlMs), signal),
      keepAlive: (lease, signal) => call(() => store.keepAlive(lease), signal),
      revokeLease: (lease, signal) => call(() => store.revokeLease(lease), signal),
      watch: (range, revision, signal) => store.watch(range, revision, signal),
      compact: (revision) => store.compact(revision),
      close: () => store.close(),
    };
  }

  async #call<T>(
    fates: readonly Fate[],
    work: () => Promise<T>,
    signal: AbortSignal | undefined,
    fault: () => Error,
  ): Promise<T> {
    const { clock, random } = this.#world;
    await this.#passes(random.int(4) === 0 ? random.int(40) : 0);
    const fate = random.float() < this.#world.faultRate ? (fates[random.int(fates.length)] ?? 'answered') : 'answered';
    switch (fate) {
      case 'lost before':
        throw fault();
      case 'lost after':
        await work();
        await this.#passes(0);
        throw fault();
      case 'hangs and applies late':
        clock.schedule(random.int(60_000), () => void work().catch(() => undefined));
        return await this.#hang(signal, fault);
      case 'hangs':
        return await this.#hang(signal, fault);
      case 'delivered again':
        clock.schedule(random.int(60_000), () => void work().catch(() => undefined));
        break;
      case 'answered':
    }
    const result = await work();
    await this.#passes(random.int(4) === 0 ? random.int(40) : 0);
    return result;
  }

  /** One way over the line. */
  async #passes(delayMs: number): Promise<void> {
    const { clock } = this.#world;
    if (delayMs > 0) await clock.sleep(delayMs);
    while (this.paused && !this.#crashed) await clock.sleep(this.#pausedUntilMs - clock.monotonicMs());
    if (this.#crashed) await new Promise(() => undefined);
  }

  #hang(signal: AbortSignal | undefined, fault: () => Error): Promise<never> {
    return new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => reject(fault()), { once: true });
    });
  }
}

const lost = (what: string) => new StorageError('unavailable', `the ${what} did not answer`);
const unanswered = () => new MetadataError('unavailable', 'the metadata store did not answer');
