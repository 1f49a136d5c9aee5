/**
 * The second look: what one search found to be garbage is written down, and only a later search that finds it again deletes it, after
 * readers have had time to learn that it is gone. The marks live in the metadata store, so another controller goes on with them.
 * How long ago a mark was made is counted by this process alone, from when it first saw the mark: clocks of brokers may differ.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import type { ObjectKey } from '../storage/object-store.ts';
import type { ClusterState } from './cluster-state.ts';

export interface GarbageMarksDependencies {
  readonly clock: Clock;
  readonly lane: Lane;
  readonly incarnation: string;
  /** How old a mark must be before what it names may be deleted. */
  readonly readerGraceMs: number;
  /** As `readerGraceMs`, for lanes of incarnations. */
  readonly laneGraceMs: number;
}

const keysPerMark = 400;
const removalsPerCommit = 100;

interface Mark {
  readonly key: string;
  readonly isRipe: boolean;
  readonly isOfLanes: boolean;
}

export class GarbageMarks {
  readonly #dependencies: GarbageMarksDependencies;
  /** When this process first saw each mark, monotonic. */
  readonly #firstSeenMs = new Map<string, number>();
  #nextSequence = 0;
  #marks: Mark[] = [];
  /** Object key or incarnation, and whether its mark is old enough. */
  readonly #objects = new Map<ObjectKey, boolean>();
  readonly #incarnations = new Map<string, boolean>();

  constructor(dependencies: GarbageMarksDependencies) {
    this.#dependencies = dependencies;
  }

  /** Learns the marks that stand in `state`. Throws MetadataError. */
  async load(state: ClusterState): Promise<void> {
    const { clock, readerGraceMs, laneGraceMs } = this.#dependencies;
    this.#marks = [];
    this.#objects.clear();
    this.#incarnations.clear();
    const found = new Set<string>();
    for await (const { key, value } of state.entries(metadataPrefixes.garbage)) {
      const mark = metadata.GarbageMark.decode(value);
      found.add(key);
      const isOfLanes = mark.incarnations.length > 0;
      const seenForMs = this.#seenForMs(key);
      const isRipe = isOfLanes
        ? clock.wallMs() - Number(mark.markedMs) >= laneGraceMs && seenForMs >= Math.min(readerGraceMs, laneGraceMs)
        : seenForMs >= readerGraceMs;
      this.#marks.push({ key, isRipe, isOfLanes });
      for (const objectKey of mark.objectKeys)
        this.#objects.set(objectKey, isRipe || this.#objects.get(objectKey) === true);
      for (const one of mark.incarnations) {
        this.#incarnations.set(one, isRipe || this.#incarnations.get(one) === true);
      }
    }
    for (const key of this.#firstSeenMs.keys()) if (!found.has(key)) this.#firstSeenMs.delete(key);
  }

  /** Undefined for what is not marked. */
  isRipe(objectKey: ObjectKey): boolean | undefined {
    return this.#objects.get(objectKey);
  }

  /** Undefined for an incarnation that is not marked. */
  isLaneRipe(incarnation: string): boolean | undefined {
    return this.#incarnations.get(incarnation);
  }

  /** Throws MetadataError. */
  async mark(
    revision: number,
    names: { readonly objectKeys?: readonly ObjectKey[]; readonly incarnations?: readonly string[] },
  ) {
    const { clock, lane, incarnation } = this.#dependencies;
    const { objectKeys = [], incarnations = [] } = names;
    for (let start = 0; start < Math.max(objectKeys.length, incarnations.length); start += keysPerMark) {
      const value = metadata.GarbageMark.encode({
        revision: BigInt(revision),
        markedMs: BigInt(clock.wallMs()),
        objectKeys: objectKeys.slice(start, start + keysPerMark),
        incarnations: incarnations.slice(start, start + keysPerMark),
      }).finish();
      const key = metadataKeys.garbage(incarnation, this.#nextSequence);
      this.#nextSequence += 1;
      await lane.commit({ operations: [{ type: 'put', key, value }] });
      this.#seenForMs(key);
    }
  }

  /** Removes the ripe marks of objects: a whole search has dealt with everything they name. Throws MetadataError. */
  async removeRipe(): Promise<void> {
    const ripe = this.#marks.filter(({ isRipe, isOfLanes }) => isRipe && !isOfLanes);
    await this.#remove(ripe);
  }

  /** Removes the ripe marks of lanes. Throws MetadataError. */
  async removeRipeLanes(): Promise<void> {
    await this.#remove(this.#marks.filter(({ isRipe, isOfLanes }) => isRipe && isOfLanes));
  }

  async #remove(marks: readonly Mark[]): Promise<void> {
    for (let start = 0; start < marks.length; start += removalsPerCommit) {
      const operations = marks
        .slice(start, start + removalsPerCommit)
        .map(({ key }) => ({ type: 'delete' as const, key }));
      await this.#dependencies.lane.commit({ operations });
    }
  }

  #seenForMs(key: string): number {
    const nowMs = this.#dependencies.clock.monotonicMs();
    const firstMs = this.#firstSeenMs.get(key) ?? nowMs;
    this.#firstSeenMs.set(key, firstMs);
    return nowMs - firstMs;
  }
}
