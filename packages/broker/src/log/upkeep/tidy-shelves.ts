/** Keeps shelves few: those with nothing alive on them go, and small or mostly dead ones are put together. */
import { maxKeysPerMove, type Shelver, type StoredShelf } from './shelver.ts';

/** So many shelves that could be one are made one, unless said otherwise. */
const defaultMergedTogether = 8;
/** A shelf of this size is not written again until enough of it is dead. */
const ampleBytes = 2 * 2 ** 20;
const maxMergedBytes = 4 * 2 ** 20;

/**
 * What is left of `shelves` (oldest first), in their order; all writes have been done when it resolves. Throws MetadataError (`conflict`
 * when one is not as it was read) and StorageError.
 */
export async function tidyShelves(
  shelves: readonly StoredShelf[],
  shelver: Shelver,
  signal: AbortSignal,
  mergedTogether = defaultMergedTogether,
): Promise<readonly StoredShelf[]> {
  const dead: StoredShelf[] = [];
  const small: StoredShelf[] = [];
  for (const shelf of shelves) {
    const share = await shelver.aliveShare(shelf);
    if (share === 0) dead.push(shelf);
    else if (shelf.slice.length * share < ampleBytes) small.push(shelf);
  }
  if (signal.aborted) return shelves;
  await shelver.drop(dead);
  const left = shelves.filter((shelf) => !dead.includes(shelf));
  if (small.length < mergedTogether) return left;

  const chosen: StoredShelf[] = [];
  let bytes = 0;
  for (const shelf of small) {
    if (chosen.length === maxKeysPerMove || (chosen.length > 1 && bytes + shelf.slice.length > maxMergedBytes)) break;
    chosen.push(shelf);
    bytes += shelf.slice.length;
  }
  const merged = await shelver.merge(chosen);
  const others = left.filter((shelf) => !chosen.includes(shelf));
  return merged === undefined ? others : [merged, ...others];
}
