/**
 * Moves complete segments out of partition records: into lists in index objects, to which the record keeps one reference each (a
 * chunk). A new list takes in the last ones while they are not longer than itself, so there are never many.
 */
import { decodeSegmentChunk, type metadata } from '@kafscale/protocol';
import { mapConcurrently, type Logger } from '@kafscale/runtime';
import { absorbedChunks, leavingSegments } from './run-tiers.ts';
import { asStored, isLost, readSlice, type ReadingManifests } from './stored-manifests.ts';

export interface SegmentChunksDependencies extends ReadingManifests {
  readonly logger: Logger;
  readonly segmentBytes: number;
}

/** What a record names, and what it could name instead. */
export interface SegmentLists {
  readonly chunks: readonly metadata.SegmentChunk[];
  readonly segments: readonly metadata.Segment[];
}

export interface PlannedLists extends SegmentLists {
  /** To be put into one list, behind `chunks` and before `segments`; none when nothing leaves the record. */
  readonly leaving: readonly metadata.Segment[];
}

const readsAtOnce = 4;

export class SegmentChunks {
  readonly #dependencies: SegmentChunksDependencies;

  constructor(dependencies: SegmentChunksDependencies) {
    this.#dependencies = dependencies;
  }

  /** One plan for each, in their order. Throws StorageError when the store does not answer. */
  plan(lists: readonly SegmentLists[]): Promise<readonly PlannedLists[]> {
    return mapConcurrently(lists, readsAtOnce, ({ chunks, segments }) => this.#plan(chunks, segments));
  }

  async #plan(chunks: readonly metadata.SegmentChunk[], segments: readonly metadata.Segment[]): Promise<PlannedLists> {
    const { segmentBytes } = this.#dependencies;
    const count = leavingSegments(
      segments.map(({ length }) => ({ length: Number(length) })),
      { segmentBytes },
    );
    if (count === 0) return { chunks, segments, leaving: [] };
    const absorbed = await this.#absorbed(chunks, count);
    return {
      chunks: chunks.slice(0, chunks.length - absorbed.chunkCount),
      leaving: [...absorbed.segments, ...segments.slice(0, count)],
      segments: segments.slice(count),
    };
  }

  async #absorbed(chunks: readonly metadata.SegmentChunk[], count: number) {
    const first = chunks.length - absorbedChunks(chunks, count);
    const segments: metadata.Segment[] = [];
    try {
      for (const chunk of chunks.slice(first)) {
        const slice = chunk.list!;
        const bytes = await readSlice(slice, this.#dependencies);
        segments.push(...asStored(slice.objectKey, () => decodeSegmentChunk(bytes, chunk)));
      }
    } catch (error) {
      if (!isLost(error)) throw error;
      this.#dependencies.logger.error({ err: error }, 'a segment list cannot be read: it stays as it is');
      return { chunkCount: 0, segments: [] };
    }
    return { chunkCount: chunks.length - first, segments };
  }
}
