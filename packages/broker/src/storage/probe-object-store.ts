/**
 * Tries at the start what the broker will need of the object store, and says plainly what is missing: better now than with the first
 * flush. Correctness rests on nothing found here but the obvious: what was written is read and listed. Cleans up behind itself, and
 * behind probes that died.
 */
import { backoffDelayMs, type Clock, type Random } from '@kafscale/runtime';
import { healthProbeKey, healthProbePrefix, isHealthProbeKey } from './health-probe-key.ts';
import type { ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts';
import { StorageError } from './storage-error.ts';

export interface ProbeOptions {
  readonly namespace: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a store that does not answer is waited for. */
  readonly budgetMs: number;
  /** Bucket and address, as messages name them. */
  readonly place: string;
  /** Told why once, when the store has to be waited for. */
  readonly onWaiting?: (error: Error) => void;
}

/** What the store was seen to do beyond what is needed. */
export interface ProbeFindings {
  readonly conditionalCreate: boolean;
}

/** A store that can be told to leave the condition away. */
export interface ProbedObjectStore extends ObjectStore {
  withoutConditionalCreate(): void;
}

const backoff = { baseMs: 250, maxMs: 2_000 };
const concurrentCreates = 8;
const staleMs = 3_600_000;
const content = Buffer.from('KafScale looks whether this object store does what it needs.\n');
const range = { start: 3, end: 20 };

/** Throws StorageError `denied`, `unavailable` or `corrupt` with what to do about it. */
export async function probeObjectStore(store: ProbedObjectStore, options: ProbeOptions): Promise<ProbeFindings> {
  const probe = new Probe(store, options);
  try {
    await probe.writes();
    await probe.reads();
    const conditionalCreate = await probe.refusesSecondCreate();
    if (!conditionalCreate) store.withoutConditionalCreate();
    await probe.lists();
    await probe.deletes();
    return { conditionalCreate };
  } finally {
    await probe.cleanUp();
  }
}

class Probe {
  readonly #store: ProbedObjectStore;
  readonly #options: ProbeOptions;
  readonly #created: ObjectKey[] = [];
  readonly #endMs: number;
  #key = '';

  constructor(store: ProbedObjectStore, options: ProbeOptions) {
    this.#store = store;
    this.#options = options;
    this.#endMs = options.clock.monotonicMs() + options.budgetMs;
  }

  async writes(): Promise<void> {
    await this.#patiently('s3:PutObject', async () => {
      this.#key = this.#newKey(); // a name for each try: the outcome of the one before is unknown
      try {
        await this.#store.create(this.#key, [content.subarray(0, 10), content.subarray(10)]);
      } catch (error) {
        if (!isUnknownCondition(error)) throw error;
        this.#store.withoutConditionalCreate();
        await this.#store.create(this.#key, [content]);
      }
    });
  }

  async reads(): Promise<void> {
    const whole = await this.#patiently('s3:GetObject', () => this.#store.read(this.#key));
    const part = await this.#patiently('s3:GetObject', () => this.#store.read(this.#key, range));
    if (!whole.equals(content)) throw this.#unfit('what was written is read back as something else');
    if (!part.equals(content.subarray(range.start, range.end)))
      throw this.#unfit('a range is answered with other bytes');
  }

  /** Also where many come at once: some stores let more than one of them win. */
  async refusesSecondCreate(): Promise<boolean> {
    if (!this.#store.capabilities.conditionalCreate) return false;
    const again = await this.#create(this.#key);
    if (again !== 'conflict') return false;
    const key = this.#newKey();
    const all = await Promise.all(Array.from({ length: concurrentCreates }, () => this.#create(key)));
    return all.filter((outcome) => outcome === 'ok').length <= 1;
  }

  async lists(): Promise<void> {
    const found = await this.#patiently('s3:ListBucket', async () => {
      const infos: ObjectInfo[] = [];
      for await (const info of this.#store.list(healthProbePrefix(this.#options.namespace))) infos.push(info);
      return infos;
    });
    const own = found.find(({ key }) => key === this.#key);
    if (own === undefined) {
      throw this.#unfit(
        'a listing does not show what was just written; KafScale needs a store that is strongly consistent',
      );
    }
    const { namespace } = this.#options;
    const stale = found.filter(
      ({ key, modifiedMs }) => isHealthProbeKey(namespace, key) && modifiedMs < own.modifiedMs - staleMs,
    );
    this.#created.push(...stale.map(({ key }) => key));
  }

  async deletes(): Promise<void> {
    await this.#patiently('s3:DeleteObject', () => this.#store.delete(this.#created));
    const isGone = await this.#patiently('s3:GetObject', () =>
      this.#store.read(this.#key).then(
        () => false,
        (error: unknown) => {
          if (error instanceof StorageError && error.kind === 'not-found') return true;
          throw error;
        },
      ),
    );
    if (!isGone) throw this.#unfit('what was deleted can still be read');
    this.#created.length = 0;
  }

  async cleanUp(): Promise<void> {
    if (this.#created.length > 0) await this.#store.delete(this.#created).catch(() => undefined);
  }

  #newKey(): ObjectKey {
    const { namespace, random } = this.#options;
    const key = healthProbeKey(namespace, 'startup', random);
    this.#created.push(key);
    return key;
  }

  async #create(key: ObjectKey): Promise<'ok' | 'conflict' | 'unknown'> {
    try {
      await this.#store.create(key, [content]);
      return 'ok';
    } catch (error) {
      if (error instanceof StorageError) return error.kind === 'conflict' ? 'conflict' : 'unknown';
      throw error;
    }
  }

  /** Until it succeeds or the budget is spent; only a store that does not answer is worth waiting for. */
  async #patiently<T>(permission: string, act: () => Promise<T>): Promise<T> {
    const { clock, random, onWaiting } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof StorageError)) throw error;
        const delayMs = backoffDelayMs(attempt, backoff, random);
        if (error.kind !== 'unavailable' || clock.monotonicMs() + delayMs >= this.#endMs) {
          throw this.#explained(error, permission);
        }
        if (attempt === 0) onWaiting?.(error);
        await clock.sleep(delayMs);
      }
    }
  }

  #explained(error: StorageError, permission: string): StorageError {
    const needed = error.kind === 'denied' && /AccessDenied/.test(error.message) ? ` It needs ${permission}.` : '';
    const reason = error.message.replace(/^\w+ [^ ]+: /, '');
    return new StorageError(
      error.kind,
      `The object store (${this.#options.place}) cannot be used: ${reason}${needed}`,
      {
        cause: error,
      },
    );
  }

  #unfit(what: string): StorageError {
    return new StorageError('denied', `The object store (${this.#options.place}) cannot be used: ${what}.`);
  }
}

/** Stores that do not know the condition refuse the request as something they do not offer. */
const isUnknownCondition = (error: unknown): boolean =>
  error instanceof StorageError && error.kind === 'denied' && /NotImplemented|501/.test(error.message);
