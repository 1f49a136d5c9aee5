/**
 * Which flush objects that no manifest names were committed, or may have been: each footer names the flush its commit builds on, so the
 * flushes of an incarnation form chains (COMMIT.md K8). What a later flush passed over was rolled back before that one was closed;
 * what builds on a flush that is nowhere was never committed, since flushes commit in order and nothing committed is deleted
 * before a checkpoint has seen its end. The end of the chain that nobody names is kept: it may have been acknowledged.
 */
export interface ChainedFlush {
  readonly sequence: number;
  /** -1 for none. */
  readonly buildsOn: number;
}

export interface Chain<Flush> {
  /** Ascending. */
  readonly kept: readonly Flush[];
  readonly dead: readonly Flush[];
}

/** `isSettled` answers for flushes that need no link of their own: named by the base, or older than anything still open in it. */
export function followChain<Flush extends ChainedFlush>(
  flushes: readonly Flush[],
  isSettled: (sequence: number) => boolean,
): Chain<Flush> {
  const bySequence = new Map(flushes.map((flush) => [flush.sequence, flush]));
  const descending = [...bySequence.values()].sort((left, right) => right.sequence - left.sequence);
  for (const last of descending) {
    const chain = chainTo(last, bySequence, isSettled);
    if (chain === undefined) continue;
    const kept = new Set(chain);
    return { kept: chain, dead: descending.filter((flush) => !kept.has(flush)) };
  }
  return { kept: [], dead: descending };
}

/** Ascending; undefined when a link is missing. */
function chainTo<Flush extends ChainedFlush>(
  last: Flush,
  bySequence: ReadonlyMap<number, Flush>,
  isSettled: (sequence: number) => boolean,
): Flush[] | undefined {
  const chain = [last];
  for (let { buildsOn } = last; buildsOn >= 0 && !isSettled(buildsOn);) {
    const link = bySequence.get(buildsOn);
    if (link === undefined || link.sequence >= chain.at(-1)!.sequence) return undefined;
    chain.push(link);
    ({ buildsOn } = link);
  }
  return chain.reverse();
}
