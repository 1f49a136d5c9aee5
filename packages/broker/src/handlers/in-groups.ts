/** Work on the many parts of one request, with a bound on how many are under way. */

/** The results in order. So many at a time, the next ones when those are done; the first rejection is passed on. */
export async function inGroups<Item, Result>(
  items: readonly Item[],
  groupSize: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < items.length; start += groupSize) {
    results.push(...(await Promise.all(items.slice(start, start + groupSize).map(work))));
  }
  return results;
}
