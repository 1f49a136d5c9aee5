/**
 * The one road by which groups are stored: changes wait while a commit of the lane is in flight, and then go together, one delta
 * per shard, in the order they came. So a commit of offsets that was accepted before a generation began is stored before it or with
 * it, never after.
 */
import type { metadata } from '@kafscale/protocol';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { metadataBytes } from './classic/metadata-bytes.ts';
import type { ShardJournal } from './shard-journal.ts';

/** Most bytes of one delta, unless a single change is larger. */
const maxDeltaBytes = 256 * 1024;
/** Most bytes of one commit, unless a single change is larger; a store takes 1.5 MiB. */
const maxCommitBytes = 1024 * 1024;
/** Most deltas of one commit, each of another shard. */
const maxDeltas = 100;

interface QueuedChange {
  readonly journal: ShardJournal;
  readonly changes: readonly metadata.GroupChange[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class GroupWriter {
  readonly #lane: Lane;
  #queue: QueuedChange[] = [];
  #running: Promise<void> | undefined;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /**
   * Resolves once the changes are stored, all or none, and applied to the shard's state in the order of the calls. Rejects with
   * MetadataError `fenced`, after which nothing is stored any more, or `conflict` or `invalid`, which concern these changes alone.
   */
  write(journal: ShardJournal, changes: readonly metadata.GroupChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = changes.reduce((sum, change) => sum + changeBytes(change), 0);
      this.#queue.push({ journal, changes, bytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is on its way any more. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const failure = await this.#commit(batch);
      if (failure === undefined) continue;
      const alone = batch.length === 1 || isFenced(failure);
      for (const queued of batch) {
        // Which of them the store refused is not known: each has to stand by itself.
        const own = alone ? failure : await this.#commit([queued]);
        if (own !== undefined) queued.reject(own);
      }
    }
    this.#running = undefined;
  }

  #takeBatch(): QueuedChange[] {
    const deltaBytes = new Map<ShardJournal, number>();
    let commitBytes = 0;
    let taken = 0;
    for (const { journal, bytes } of this.#queue) {
      const delta = (deltaBytes.get(journal) ?? 0) + bytes;
      commitBytes += bytes;
      if (taken > 0 && (delta > maxDeltaBytes || commitBytes > maxCommitBytes)) break;
      deltaBytes.set(journal, delta);
      if (deltaBytes.size > maxDeltas) break;
      taken += 1;
    }
    return this.#queue.splice(0, taken);
  }

  /** Stores, applies and resolves; or returns why not. */
  async #commit(batch: readonly QueuedChange[]): Promise<unknown> {
    const byJournal = new Map<ShardJournal, metadata.GroupChange[]>();
    for (const { journal, changes } of batch) {
      const own = byJournal.get(journal);
      if (own === undefined) byJournal.set(journal, [...changes]);
      else own.push(...changes);
    }
    let deltas: ReturnType<ShardJournal['delta']>[];
    try {
      deltas = [...byJournal].map(([journal, changes]) => journal.delta(changes));
      await this.#lane.commit({ operations: deltas.map(({ operation }) => operation) });
    } catch (error) {
      return error;
    }
    for (const delta of deltas) delta.applied();
    for (const { resolve } of batch) resolve();
    return undefined;
  }
}

export const isFenced = (error: unknown): boolean => error instanceof MetadataError && error.kind === 'fenced';

const changeOverhead = 64;
const offsetOverhead = 48;
const partitionBytes = 8;

/** About how many bytes the change takes in a delta; never far below the truth. */
function changeBytes({ change }: metadata.GroupChange): number {
  switch (change?.$case) {
    case 'group': {
      const members = change.value.members.map((member) =>
        metadataBytes({ ...member, groupInstanceId: member.groupInstanceId ?? null }),
      );
      return members.reduce((sum, bytes) => sum + bytes, changeOverhead + Buffer.byteLength(change.value.groupId));
    }
    case 'offsets': {
      const { groupId, offsets } = change.value;
      return offsetsBytes(offsets) + Buffer.byteLength(groupId);
    }
    case 'removedOffsets':
      return changeOverhead + Buffer.byteLength(change.value.groupId) + change.value.partitions.length * partitionBytes;
    case 'removedGroup':
      return changeOverhead + Buffer.byteLength(change.value);
    case undefined:
      return 0;
  }
}

/** About how many bytes a commit of these offsets takes. */
export function offsetsBytes(offsets: readonly { readonly metadata: string }[]): number {
  return offsets.reduce((sum, { metadata: text }) => sum + offsetOverhead + Buffer.byteLength(text), changeOverhead);
}
