/**
 * Where a log should start by its topic's retention. Chunks are judged as wholes by what the record says of them; only where the line
 * goes through one is its list of segments read, and then it is remembered when the first of them is due.
 */
import type { TopicConfig } from '@kafscale/protocol';
import type { Extent, ExtentChunk, PartitionLog } from '../partition-log.ts';
import type { LogSpans } from '../segments/log-spans.ts';
import { chunkName } from '../segments/segment-lists.ts';

/** What the topic allows at a moment. */
interface Limits {
  /** Records up to here have expired; -Infinity when none do. */
  readonly expiredBeforeMs: number;
  /** At least so much stays; Infinity for everything. */
  readonly keptBytes: number;
}

/** The oldest segment of a chunk that had to stay the last time. */
interface FirstKept {
  /** Of the chunk. */
  readonly name: string;
  /** Where the line was then: what lies before it may go, and is to be found again until the log start is there. */
  readonly line: number;
  readonly maxTimestamp: number;
  /** Of the chunk's segments up to this one, itself included. */
  readonly bytes: number;
}

type Part = Pick<Extent, 'nextOffset' | 'length' | 'maxTimestamp'>;

export class RetentionLines {
  readonly #spans: LogSpans;
  readonly #firstKept = new WeakMap<PartitionLog, FirstKept>();

  constructor(spans: LogSpans) {
    this.#spans = spans;
  }

  /**
   * As in Kafka, what is left is at least `retention.bytes`, and nothing in it has expired. Never below the log start. Throws what
   * reading a list of segments throws.
   */
  async retainedFrom(log: PartitionLog, config: TopicConfig, nowMs: number): Promise<number> {
    const limits = limitsOf(config, nowMs);
    if (limits === undefined) return log.logStartOffset;
    const line = new Line(log, limits);
    const whole = lastGone(log, limits);
    for (const [index, chunk] of log.chunks.entries()) {
      if (index < whole) line.pass(chunk);
      else if (!(await this.#goThrough(log, chunk, line, limits))) return line.offset;
    }
    line.goThrough(log.extents);
    return line.offset;
  }

  /** False when the line lies within the chunk. */
  async #goThrough(log: PartitionLog, chunk: ExtentChunk, line: Line, limits: Limits): Promise<boolean> {
    if (line.keptBytes - chunk.length >= limits.keptBytes) {
      line.pass(chunk);
      return true;
    }
    const known = this.#firstKept.get(log);
    const name = chunkName(chunk);
    const isKnown = known?.name === name && known.line <= log.logStartOffset;
    if (isKnown && !isGone(known.maxTimestamp, line.keptBytes - known.bytes, limits)) return false;
    const span = await this.#spans.load(log, Math.max(chunk.baseOffset, log.logStartOffset));
    if (span === log) return false; // The log start has passed the chunk meanwhile; the next look knows.
    const before = line.keptBytes;
    const living = span.findExtent(log.logStartOffset); // How late dead records are says nothing.
    for (const dead of span.extents.slice(0, living)) line.pass(dead);
    const kept = line.goThrough(span.extents.slice(living));
    if (kept === undefined) return true;
    const bytes = before - line.keptBytes + kept.length;
    this.#firstKept.set(log, { name, line: line.offset, maxTimestamp: kept.maxTimestamp, bytes });
    return false;
  }
}

/** Undefined for a topic that keeps everything: one that is only compacted, and one without limits. */
function limitsOf({ cleanupPolicy, retentionMs, retentionBytes }: TopicConfig, nowMs: number): Limits | undefined {
  if (!cleanupPolicy.delete || (retentionMs < 0 && retentionBytes < 0)) return undefined;
  return {
    expiredBeforeMs: retentionMs < 0 ? -Infinity : nowMs - retentionMs,
    keptBytes: retentionBytes < 0 ? Infinity : retentionBytes,
  };
}

/** Whether a part may go that has so many bytes behind it. Records without a timestamp never expire by themselves. */
const isGone = (maxTimestamp: number, bytesBehind: number, { expiredBeforeMs, keptBytes }: Limits) =>
  bytesBehind >= keptBytes || (maxTimestamp >= 0 && maxTimestamp < expiredBeforeMs);

/** Index of the last chunk that may go as a whole; what is before it goes with it. 0 when none may, since one is looked into anyway. */
function lastGone({ chunks, sizeBytes }: PartitionLog, limits: Limits): number {
  let last = 0;
  let bytesBehind = sizeBytes;
  for (const [index, { length, maxTimestamp }] of chunks.entries()) {
    bytesBehind -= length;
    if (isGone(maxTimestamp, bytesBehind, limits)) last = index;
    else if (maxTimestamp >= 0) break;
  }
  return last;
}

/** Goes from the log start on, past what may go. */
class Line {
  offset: number;
  /** Bytes that are left behind the line; where records without a timestamp are in doubt, behind those. */
  keptBytes: number;
  readonly #limits: Limits;

  constructor({ logStartOffset, sizeBytes }: PartitionLog, limits: Limits) {
    this.offset = logStartOffset;
    this.keptBytes = sizeBytes;
    this.#limits = limits;
  }

  pass({ nextOffset, length }: Part): void {
    this.keptBytes -= length;
    this.offset = Math.max(this.offset, nextOffset);
  }

  /** The first of them that has to stay; undefined when none has to for its own sake. */
  goThrough<T extends Part>(parts: readonly T[]): T | undefined {
    for (const part of parts) {
      const bytesBehind = this.keptBytes - part.length;
      if (isGone(part.maxTimestamp, bytesBehind, this.#limits)) this.pass(part);
      // Records without a timestamp go with the first later ones that do.
      else if (part.maxTimestamp < 0) this.keptBytes = bytesBehind;
      else return part;
    }
    return undefined;
  }
}
