/**
 * How a shard is stored: deltas in ascending sequence, each one write's changes, and folded keys that hold everything up to some
 * delta. Folding writes the keys that changed and then drops the deltas they hold; stopped halfway it loses nothing, because deltas
 * hold values (see ShardState).
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import {
  prefixEnd,
  type KeyValue,
  type MetadataStore,
  type Operation,
  type Revision,
} from '../metadata/metadata-store.ts';
import { ShardState } from './shard-state.ts';

/** A shard with so many deltas, or bytes of them, is folded. */
const foldDeltas = 64;
const foldDeltaBytes = 1024 * 1024;

/** Most operations and bytes of one folding transaction. */
const foldOperations = 100;
const foldBytes = 768 * 1024;

const pageKeys = 200;

export class ShardJournal {
  readonly shard: number;
  readonly state = new ShardState();
  #nextSequence = 0;
  /** Deltas below are in the state. */
  #appliedSequence = 0;
  #deltas = 0;
  #deltaBytes = 0;
  #folding = false;

  constructor(shard: number) {
    this.shard = shard;
  }

  /**
   * Reads the shard as of one revision, which it answers and which is not before `notBefore`. Throws MetadataError: `corrupt` for
   * good, anything else means that a new journal should be loaded later.
   */
  async load(store: MetadataStore, notBefore: Revision, signal: AbortSignal): Promise<Revision> {
    const { shard, state } = this;
    const { revision } = await store.range({ key: metadataPrefixes.groups(shard) }, signal);
    if (revision < notBefore) {
      throw new MetadataError('unavailable', `the metadata store is at revision ${revision} and was at ${notBefore}`);
    }
    for await (const item of keysUnder(store, metadataPrefixes.groups(shard), revision, signal)) {
      state.loadGroup(decoded(item, metadata.GroupRecord));
    }
    for await (const item of keysUnder(store, metadataPrefixes.groupOffsets(shard), revision, signal)) {
      state.loadOffsets(decoded(item, metadata.GroupOffsets));
    }
    for await (const item of keysUnder(store, metadataPrefixes.groupDeltas(shard), revision, signal)) {
      this.#loadDelta(item);
    }
    return revision;
  }

  /** The operation that stores the changes as the next delta, and what to call once it has applied. */
  delta(changes: metadata.GroupChange[]): { readonly operation: Operation; readonly applied: () => void } {
    const sequence = this.#nextSequence;
    this.#nextSequence += 1;
    const value = metadata.GroupDelta.encode({ changes }).finish();
    return {
      operation: { type: 'put', key: metadataKeys.groupDelta(this.shard, sequence), value },
      applied: () => {
        for (const change of changes) this.state.apply(change);
        this.#appliedSequence = sequence + 1;
        this.#deltas += 1;
        this.#deltaBytes += value.length;
      },
    };
  }

  /** Whether enough has come together to be folded. */
  get wantsFold(): boolean {
    return !this.#folding && (this.#deltas >= foldDeltas || this.#deltaBytes >= foldDeltaBytes);
  }

  /** Whether there is anything to fold. */
  get hasDeltas(): boolean {
    return !this.#folding && this.#deltas > 0;
  }

  /**
   * Folds the deltas that are in the state. Rejects as the lane does, and between two transactions when the signal aborts; what was
   * not folded is folded the next time.
   */
  async fold(lane: Lane, signal: AbortSignal): Promise<void> {
    const endSequence = this.#appliedSequence;
    const [deltas, deltaBytes] = [this.#deltas, this.#deltaBytes];
    const targets = this.state.takeUnfolded();
    this.#folding = true;
    try {
      let remaining = targets;
      do {
        signal.throwIfAborted();
        const operations: Operation[] = [];
        remaining = this.#takeOperations(remaining, operations);
        if (remaining.length === 0) operations.push(this.#dropDeltas(endSequence));
        await lane.commit({ operations });
      } while (remaining.length > 0);
      this.#deltas -= deltas;
      this.#deltaBytes -= deltaBytes;
    } catch (error) {
      this.state.returnUnfolded(targets);
      throw error;
    } finally {
      this.#folding = false;
    }
  }

  /** Adds operations while there is room, and answers the targets for which there was none. */
  #takeOperations(targets: ReturnType<ShardState['takeUnfolded']>, operations: Operation[]): typeof targets {
    let bytes = 0;
    for (const [index, target] of targets.entries()) {
      const operation = this.state.foldOperation(target);
      bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
      if (operations.length > 0 && (operations.length >= foldOperations - 1 || bytes > foldBytes)) {
        return targets.slice(index);
      }
      operations.push(operation);
    }
    return [];
  }

  #dropDeltas(endSequence: number): Operation {
    const [key, end] = [0, endSequence].map((sequence) => metadataKeys.groupDelta(this.shard, sequence));
    return { type: 'delete', key: key ?? '', end: end ?? '' };
  }

  #loadDelta(item: KeyValue): void {
    for (const change of decoded(item, metadata.GroupDelta).changes) this.state.apply(change);
    const sequence = Number(item.key.slice(item.key.lastIndexOf('/') + 1));
    this.#nextSequence = sequence + 1;
    this.#appliedSequence = sequence + 1;
    this.#deltas += 1;
    this.#deltaBytes += item.value.length;
  }
}

/** The keys under a prefix as of one revision. */
async function* keysUnder(store: MetadataStore, prefix: string, revision: Revision, signal: AbortSignal) {
  const end = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    const page = await store.range({ key, end, limit: pageKeys, revision }, signal);
    yield* page.items;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return;
    key = `${last.key}\0`;
  }
}

function decoded<Message>(item: KeyValue, codec: { decode(input: Uint8Array): Message }): Message {
  try {
    return codec.decode(item.value);
  } catch (cause) {
    throw new MetadataError('corrupt', `${item.key} does not decode`, { cause });
  }
}
