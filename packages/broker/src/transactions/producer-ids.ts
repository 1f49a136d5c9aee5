/**
 * Producer ids, unique for ever: a block at a time is taken from the metadata store by compare on the counter's revision, so that
 * no crash and no other broker hands one out twice. What is left of a block at a crash is never used.
 */
import { metadata, metadataKeys } from '@kafscale/protocol';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';

const idsPerBlock = 1_000n;
/** Whoever loses a block was overtaken by another broker that has one then: more than there are brokers in a cluster. */
const maxAttempts = 200;

interface Block {
  next: bigint;
  readonly end: bigint;
}

export class ProducerIds {
  readonly #store: MetadataStore;
  readonly #lane: Lane;
  #block: Block = { next: 0n, end: 0n };
  #taking: Promise<void> | undefined;

  constructor({ store, lane }: { readonly store: MetadataStore; readonly lane: Lane }) {
    this.#store = store;
    this.#lane = lane;
  }

  /** An id that nobody was ever given. Throws MetadataError when no block can be had. */
  async next(): Promise<bigint> {
    while (this.#block.next >= this.#block.end) {
      this.#taking ??= this.#takeBlock().finally(() => (this.#taking = undefined));
      await this.#taking;
    }
    const id = this.#block.next;
    this.#block.next += 1n;
    return id;
  }

  async #takeBlock(): Promise<void> {
    const key = metadataKeys.producerIds;
    for (let attempt = 1; ; attempt += 1) {
      const { items } = await this.#store.range({ key });
      const stored = items[0];
      const next = stored === undefined ? 0n : metadata.ProducerIdRecord.decode(stored.value).nextProducerId;
      const end = next + idsPerBlock;
      try {
        await this.#lane.commit({
          compare: [{ key, target: 'modRevision', operator: '=', operand: stored?.modRevision ?? 0 }],
          operations: [{ type: 'put', key, value: metadata.ProducerIdRecord.encode({ nextProducerId: end }).finish() }],
        });
        this.#block = { next, end };
        return;
      } catch (error) {
        const taken = error instanceof MetadataError && error.kind === 'conflict';
        if (!taken || attempt === maxAttempts) throw error;
      }
    }
  }
}
