/** What tests on a real etcd need: stores on it that are closed again, and sessions with the time limits of a test. */
import { seededRandom, systemClock } from '@kafscale/runtime';
import { credentials } from '@grpc/grpc-js';
import type { KeyValue, MetadataStore, Operation, WatchBatch } from '../metadata-store.ts';
import { Session, type SessionSettings } from '../session.ts';
import { EtcdMetadataStore, type EtcdMetadataStoreOptions } from './etcd-metadata-store.ts';

export const put = (key: string, value = 'value'): Operation => ({ type: 'put', key, value: Buffer.from(value) });
export const remove = (key: string): Operation => ({ type: 'delete', key });

export class EtcdFixture {
  readonly #opened: { close(): Promise<void> }[] = [];
  #watches = new AbortController();
  #prefixes = 0;
  prefix = '';

  /** From now on everything happens below another prefix. */
  next(): void {
    this.#prefixes += 1;
    this.#watches = new AbortController();
    this.prefix = `/traps/${process.pid}-${this.#prefixes}/`;
  }

  async store(
    endpoints: readonly string[],
    options: Partial<EtcdMetadataStoreOptions> = {},
  ): Promise<EtcdMetadataStore> {
    const store = await EtcdMetadataStore.open({
      endpoints,
      credentials: () => credentials.createInsecure(),
      prefix: this.prefix,
      clock: systemClock,
      random: seededRandom(this.#prefixes),
      ...options,
    });
    this.#opened.push(store);
    return store;
  }

  /** Everything that a watch delivers, and why it ended. */
  watch(store: MetadataStore, key: string, end: string, fromRevision: number) {
    const batches: WatchBatch[] = [];
    const watched = { batches, failure: undefined as unknown };
    void (async () => {
      try {
        for await (const batch of store.watch({ key, end }, fromRevision, this.#watches.signal)) batches.push(batch);
      } catch (error) {
        watched.failure = error;
      }
    })();
    return watched;
  }

  async close(): Promise<void> {
    this.#watches.abort();
    await Promise.all(this.#opened.splice(0).map((opened) => opened.close()));
  }
}

export const openSession = (
  store: MetadataStore,
  incarnation: string,
  settings: Partial<SessionSettings> = {},
): Promise<Session> =>
  Session.open(incarnation, {
    store,
    clock: systemClock,
    settings: { ttlMs: 10_000, callDeadlineMs: 5_000, settleDeadlineMs: 10_000, ...settings },
  });

export const read = async (store: MetadataStore, key: string): Promise<KeyValue | undefined> =>
  (await store.range({ key })).items[0];

export const kindOf = (outcome: Promise<unknown>): Promise<unknown> =>
  outcome.then(
    () => 'applied',
    (error: unknown) => (error as { kind?: unknown }).kind ?? error,
  );
