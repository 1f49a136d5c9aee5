/** For tests of reconcilers: a KubeClient on the fake API server's store without any network, whose calls can be made to fail. */
import type { FakeKubeApi, FakeObject } from '@kafscale/testkit';
import type { KubeClient, ListOptions, WatchEvent, WatchOptions } from './kube-client.ts';
import { fieldManager } from './kube-client.ts';
import { KubeError, refusal } from './kube-error.ts';
import type { Desired, Kind, KubeObject, ObjectName, Stored } from './kube-object.ts';

/** `before`: nothing was done. `after`: it was done and nobody hears of it. */
export type Crash = 'before' | 'after';

export class StoreClient implements KubeClient {
  readonly #api: FakeKubeApi;
  /** Every write that was asked for: verb, kind and name. */
  readonly writes: string[] = [];
  /** Asked before each call that writes; throws or answers as a crash. */
  onWrite: (what: string) => Crash | undefined = () => undefined;
  /** Kinds whose watches hear nothing for now. */
  readonly #held = new Set<string>();
  readonly #wakes = new Set<() => void>();

  constructor(api: FakeKubeApi) {
    this.#api = api;
  }

  /** From now on caches of this kind grow old. */
  hold(kind: string): void {
    this.#held.add(kind);
  }

  /** Caches hear of everything again. */
  letThrough(): void {
    this.#held.clear();
    for (const wake of this.#wakes) wake();
  }

  async get<T extends KubeObject>(kind: Kind<T>, name: ObjectName): Promise<Stored<T>> {
    return this.#answer(() => this.#api.store.get(this.#kind(kind), this.#namespace(kind, name), name.name));
  }

  async find<T extends KubeObject>(kind: Kind<T>, name: ObjectName): Promise<Stored<T> | undefined> {
    const found = this.#api.store.find(this.#kind(kind), this.#namespace(kind, name), name.name);
    return Promise.resolve(found === undefined ? undefined : stored<T>(found));
  }

  async list<T extends KubeObject>(kind: Kind<T>, { namespace, labelSelector }: ListOptions = {}) {
    const items = this.#api.store
      .list(this.#kind(kind), namespace)
      .filter(matching(labelSelector))
      .map(stored<T>);
    return Promise.resolve({ resourceVersion: String(this.#api.store.version), items });
  }

  async *listPages<T extends KubeObject>(kind: Kind<T>, options: ListOptions = {}) {
    yield await this.list(kind, options);
  }

  async *watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const fake = this.#kind(kind);
    const isWanted = matching(options.labelSelector);
    const events = [...(this.#api.store.since(Number(options.resourceVersion)) ?? [])];
    let wake = () => {};
    const wakeUp = () => wake();
    this.#wakes.add(wakeUp);
    options.signal.addEventListener('abort', wakeUp, { once: true });
    const stop = this.#api.store.onEvent((event) => {
      events.push(event);
      wake();
    });
    try {
      while (!options.signal.aborted) {
        const event = this.#held.has(kind.kind) ? undefined : events.shift();
        if (event === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        if (event.kind !== fake || !isWanted(event.object)) continue;
        if (options.namespace !== undefined && event.object.metadata?.namespace !== options.namespace) continue;
        yield { type: event.type, object: stored<T>(event.object) };
      }
    } finally {
      stop();
      this.#wakes.delete(wakeUp);
    }
  }

  create<T extends KubeObject>(kind: Kind<T>, object: Desired<T>): Promise<Stored<T>> {
    const { metadata } = object;
    return this.#write('create', kind, metadata, () =>
      this.#api.store.create(this.#kind(kind), this.#namespace(kind, metadata), fake(kind, object), write()),
    );
  }

  replace<T extends KubeObject>(kind: Kind<T>, object: Stored<T>): Promise<Stored<T>> {
    const { metadata } = object;
    return this.#write('replace', kind, metadata, () =>
      this.#api.store.update(this.#kind(kind), this.#at(kind, metadata), () => fake(kind, object), write()),
    );
  }

  apply<T extends KubeObject>(kind: Kind<T>, object: Desired<T>): Promise<Stored<T>> {
    const { metadata } = object;
    return this.#write('apply', kind, metadata, () =>
      this.#api.store.apply(this.#kind(kind), this.#at(kind, metadata), fake(kind, object), {
        ...write(),
        force: true,
      }),
    );
  }

  applyStatus<T extends KubeObject>(kind: Kind<T>, object: Desired<T>): Promise<Stored<T>> {
    const { metadata } = object;
    const options = { ...write(), subresource: 'status', force: true };
    return this.#write('status', kind, metadata, () =>
      this.#api.store.apply(this.#kind(kind), this.#at(kind, metadata), fake(kind, object), options),
    );
  }

  patch<T extends KubeObject>(kind: Kind<T>, name: ObjectName, patch: object): Promise<Stored<T>> {
    return this.#write('patch', kind, name, () =>
      this.#api.store.update(
        this.#kind(kind),
        this.#at(kind, name),
        (before) => merged(before, { metadata: {}, ...patch }) as FakeObject,
        write(),
      ),
    );
  }

  async delete(kind: Kind, name: ObjectName, options: { readonly uid?: string } = {}): Promise<boolean> {
    await this.#write('delete', kind, name, () =>
      this.#api.store.delete(this.#kind(kind), this.#at(kind, name), { uid: options.uid }, false),
    );
    return true;
  }

  scale(): Promise<never> {
    return Promise.reject(new Error('nobody asks for it here'));
  }

  async setScale(kind: Kind, name: ObjectName, replicas: number, options: { readonly resourceVersion?: string } = {}) {
    const fakeKind = this.#kind(kind);
    const path = fakeKind.scale?.specReplicas.split('.') ?? [];
    const { resourceVersion } = options;
    const object = await this.#write('scale', kind, name, () =>
      this.#api.store.update(
        fakeKind,
        this.#at(kind, name),
        (before) => {
          const change = path.reduceRight<unknown>((inner, field) => ({ [field]: inner }), replicas) as object;
          return merged(before, { ...change, metadata: { ...(resourceVersion && { resourceVersion }) } }) as FakeObject;
        },
        write(),
      ),
    );
    return { resourceVersion: object.metadata.resourceVersion, replicas, statusReplicas: 0, selector: '' };
  }

  evict(): Promise<void> {
    return Promise.reject(new Error('nobody asks for it here'));
  }

  serverVersion(): Promise<string> {
    return Promise.resolve('v1.32.0');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #write<T extends KubeObject>(
    verb: string,
    kind: Kind<T>,
    name: { readonly name?: string },
    work: () => FakeObject,
  ): Promise<Stored<T>> {
    const what = `${verb} ${kind.kind} ${name.name ?? ''}`;
    const crash = this.onWrite(what);
    if (crash === 'before') throw new KubeError('unavailable', `${what}: as the test wants`);
    const object = await this.#answer<T>(work);
    this.writes.push(what);
    if (crash === 'after') throw new KubeError('unavailable', `${what}: done, and as the test wants`);
    return object;
  }

  async #answer<T extends KubeObject>(work: () => FakeObject): Promise<Stored<T>> {
    try {
      return await Promise.resolve(stored<T>(work()));
    } catch (error) {
      const { status, reason, message, details } = error as Error & {
        status?: number;
        reason: string;
        details: object;
      };
      if (status === undefined) throw error;
      throw refusal({ status, body: JSON.stringify({ reason, message, details }), action: 'of a test' });
    }
  }

  #kind(kind: Kind) {
    return this.#api.kind(kind.kind, kind.apiVersion);
  }

  #namespace(kind: Kind, { namespace }: { readonly namespace?: string | undefined }): string | undefined {
    return kind.namespaced ? (namespace ?? 'default') : undefined;
  }

  #at(kind: Kind, name: { readonly namespace?: string | undefined; readonly name?: string }) {
    return { namespace: this.#namespace(kind, name), name: name.name ?? '' };
  }
}

const write = () => ({ manager: fieldManager, dryRun: false });

const stored = <T extends KubeObject>(object: FakeObject): Stored<T> => structuredClone(object) as unknown as Stored<T>;

const fake = ({ apiVersion, kind }: Kind, object: object): FakeObject =>
  structuredClone({ ...object, apiVersion, kind });

function matching(labelSelector: string | undefined): (object: FakeObject) => boolean {
  const wanted = (labelSelector ?? '').split(',').filter((term) => term !== '');
  return ({ metadata }) =>
    wanted.every((term) => {
      const [label = '', value] = term.split('=');
      return metadata?.labels?.[label] === value;
    });
}

/** RFC 7386. */
function merged(before: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const base = typeof before === 'object' && before !== null ? (before as Record<string, unknown>) : {};
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, name);
    else result[name] = merged(base[name], value);
  }
  return result;
}
