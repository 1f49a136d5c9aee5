/**
 * How a partition's folded runs grow from many small ones into few large ones (ADR 0014): a new run takes along the runs before it once
 * there are enough of about its size, so each byte is rewritten a logarithmic number of times; complete runs leave the record for lists
 * in index objects, whose number grows with the logarithm of theirs.
 */

export interface TierSettings {
  /** A run of so many bytes becomes a segment of its own. */
  readonly segmentBytes: number;
}

interface Sized {
  readonly length: number;
}

/** So many runs of about one size become one. */
const fanIn = 4;
/** From so many unfinished runs on they become fewer sooner. */
const maxUnfinishedRuns = 12;
/** So many complete segments leave the record together. */
export const segmentsPerChunk = 6;
/** No list is made longer than this, so that finding an offset never costs more than one of that length. */
export const maxSegmentsInChunk = 8_192;

/** A run that is not rewritten any more. */
export const isComplete = ({ length }: Sized, { segmentBytes }: TierSettings): boolean => length >= segmentBytes / 2;

/** Index of the first of `runs` (oldest first) that is to be rewritten together with `newBytes` behind them; their number for none. */
export function firstRewritten(runs: readonly Sized[], newBytes: number, settings: TierSettings): number {
  const firstUnfinished = runs.findLastIndex((run) => isComplete(run, settings)) + 1;
  // The more of them there are, the fewer of about one size have to come together.
  for (let together = fanIn - 1; together > 0; together -= 1) {
    const from = firstOfTier(runs, { firstUnfinished, together, newBytes }, settings);
    if (from - firstUnfinished < maxUnfinishedRuns) return from;
  }
  return firstUnfinished;
}

/** Index of the first of `runs` that are to become fewer by themselves: what would have gone along when the last was made. */
export function firstTidied(runs: readonly Sized[], settings: TierSettings): number {
  const last = runs.at(-1);
  if (last === undefined || isComplete(last, settings)) return runs.length;
  const from = firstRewritten(runs.slice(0, -1), last.length, settings);
  return from === runs.length - 1 ? runs.length : from;
}

function firstOfTier(
  runs: readonly Sized[],
  tier: { readonly firstUnfinished: number; readonly together: number; readonly newBytes: number },
  { segmentBytes }: TierSettings,
): number {
  let from = runs.length;
  let bytes = tier.newBytes;
  for (;;) {
    let start = from;
    let gathered = 0;
    while (start > tier.firstUnfinished && runs[start - 1]!.length <= 2 * bytes) {
      start -= 1;
      gathered += runs[start]!.length;
    }
    const isWorthIt = from - start >= tier.together || bytes + gathered >= segmentBytes;
    if (start === from || !isWorthIt) return from;
    from = start;
    bytes += gathered;
  }
}

/** How many of the oldest `segments` of a record move into a list now. */
export function leavingSegments(segments: readonly Sized[], settings: TierSettings): number {
  // What lies before a complete run is not rewritten any more either, even where it is small.
  const count = segments.findLastIndex((run) => isComplete(run, settings)) + 1;
  return count >= segmentsPerChunk ? count : 0;
}

/** How many of the last `chunks` become one with a new list of so many segments. */
export function absorbedChunks(chunks: readonly { readonly segmentCount: number }[], newSegments: number): number {
  let absorbed = 0;
  let count = newSegments;
  for (let index = chunks.length - 1; index >= 0; index -= 1) {
    const { segmentCount } = chunks[index]!;
    if (segmentCount > count || segmentCount + count > maxSegmentsInChunk) break;
    count += segmentCount;
    absorbed += 1;
  }
  return absorbed;
}

/** Cuts sources, oldest first, into outputs: each but the last has `segmentBytes` or more, and a small rest joins the one before. */
export function cutIntoRuns<Source extends Sized>(
  sources: readonly Source[],
  { segmentBytes }: TierSettings,
): readonly (readonly Source[])[] {
  const runs: Source[][] = [];
  let current: Source[] = [];
  let bytes = 0;
  for (const source of sources) {
    current.push(source);
    bytes += source.length;
    if (bytes < segmentBytes) continue;
    runs.push(current);
    [current, bytes] = [[], 0];
  }
  const last = runs.at(-1);
  if (current.length > 0 && last !== undefined && bytes < segmentBytes / 2) last.push(...current);
  else if (current.length > 0) runs.push(current);
  return runs;
}
