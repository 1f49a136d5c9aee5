/**
 * What a broker writes into etcd and why, seen from outside: a watch on all keys, through etcd's own JSON gateway. One revision is one
 * write, and the keys it touches say what it is for.
 */

export interface EtcdWriteCounts {
  writes: number;
  /** Of keys and values that were put. */
  bytes: number;
}

/** The first that a write touches names it. */
const purposes = [
  ['flush', 'manifests'],
  ['record', 'partitions'],
  ['shelf', 'shelves'],
  ['garbage mark', 'garbage'],
] as const;

interface WatchLine {
  readonly result?: {
    readonly events?: readonly {
      /** Absent for a put. */
      readonly type?: 'DELETE';
      readonly kv: { readonly key: string; readonly value?: string; readonly mod_revision: string };
    }[];
  };
}

interface Write {
  readonly revision: string;
  readonly kinds: Set<string>;
  onlyDeletes: boolean;
  bytes: number;
}

export class EtcdWrites {
  readonly #counts = new Map<string, EtcdWriteCounts>();
  readonly #stop = new AbortController();
  #last: Write | undefined;

  private constructor() {}

  /** `endpoint` has no scheme. */
  static async watch(endpoint: string): Promise<EtcdWrites> {
    const writes = new EtcdWrites();
    const everything = { key: Buffer.from([0]).toString('base64'), range_end: Buffer.from([0]).toString('base64') };
    const answer = await fetch(`http://${endpoint}/v3/watch`, {
      method: 'POST',
      body: JSON.stringify({ create_request: everything }),
      signal: writes.#stop.signal,
    });
    void writes.#follow(answer.body!).catch((error: unknown) => {
      if (!writes.#stop.signal.aborted) throw error;
    });
    return writes;
  }

  /** So far, by purpose. */
  read(): ReadonlyMap<string, Readonly<EtcdWriteCounts>> {
    return new Map([...this.#counts].map(([purpose, counts]) => [purpose, { ...counts }]));
  }

  close(): void {
    this.#stop.abort();
  }

  async #follow(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#take(JSON.parse(line) as WatchLine);
    }
  }

  #take({ result }: WatchLine): void {
    for (const { type, kv } of result?.events ?? []) {
      if (this.#last?.revision !== kv.mod_revision) {
        this.#count();
        this.#last = { revision: kv.mod_revision, kinds: new Set(), onlyDeletes: true, bytes: 0 };
      }
      const key = Buffer.from(kv.key, 'base64').toString();
      const isPut = type === undefined;
      if (isPut) this.#last.bytes += key.length + Buffer.byteLength(kv.value ?? '', 'base64');
      const [, , , kind = 'other'] = key.split('/'); // behind /prefix/cluster/
      if (kind === 'lanes') continue; // every write moves its lane on
      this.#last.kinds.add(kind);
      if (isPut) this.#last.onlyDeletes = false;
    }
  }

  #count(): void {
    if (this.#last === undefined) return;
    const { kinds, onlyDeletes, bytes } = this.#last;
    const named = purposes.find(([, kind]) => kinds.has(kind))?.[0] ?? 'other';
    const purpose = onlyDeletes && kinds.size > 0 ? 'removal' : named;
    const counts = this.#counts.get(purpose) ?? { writes: 0, bytes: 0 };
    this.#counts.set(purpose, { writes: counts.writes + 1, bytes: counts.bytes + bytes });
  }
}
