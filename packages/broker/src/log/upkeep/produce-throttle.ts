/**
 * Slows producers down while metadata grows faster than it is folded away, and refuses them before anything is full: a metadata store
 * that is out of space can take nothing any more, not even what would make room. Looks at what this broker has not folded, and at how
 * full the store is; the slower of both counts.
 */
import type { Logger } from '@kafscale/runtime';
import type { StoreUsage } from '../../metadata/metadata-store.ts';

/** What is weighed; each has a level from which producers are slowed down, and one from which they are refused. */
export interface ThrottleInputs {
  /** Manifest keys of this incarnation. */
  readonly manifests: number;
  /** Shelf keys of this incarnation. */
  readonly shelves: number;
  /** Extents of this broker's logs that are not folded; they are held in memory. */
  readonly unfoldedExtents: number;
  /** Undefined while it is not known. */
  readonly usage: StoreUsage | undefined;
}

interface Levels {
  readonly slowFrom: number;
  readonly refuseFrom: number;
}

/** A flush takes at least milliseconds, so this many are minutes behind. */
const manifestLevels: Levels = { slowFrom: 1_000, refuseFrom: 4_000 };
const shelfLevels: Levels = { slowFrom: 500, refuseFrom: 2_000 };
const extentLevels: Levels = { slowFrom: 800_000, refuseFrom: 1_600_000 };
/**
 * Of the quota. etcd takes nothing more once its file has grown to the quota, and the file grows when no page in it is free: so what is
 * in use counts, and a large file that is mostly free does not.
 */
const usageLevels: Levels = { slowFrom: 0.5, refuseFrom: 0.85 };
const longestDelayMs = 1_000;

export class ProduceThrottle {
  readonly #logger: Logger;
  #pressure = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** By how much the answers to producers are held back now, milliseconds; 0 for not at all. */
  get delayMs(): number {
    return Math.round(longestDelayMs * Math.min(1, this.#pressure));
  }

  /** Whether nothing is to be taken until some of it is gone. */
  get refuses(): boolean {
    return this.#pressure >= 1;
  }

  look({ manifests, shelves, unfoldedExtents, usage }: ThrottleInputs): void {
    const used = usage?.quotaBytes === undefined ? 0 : usage.inUseBytes / usage.quotaBytes;
    const pressure = Math.max(
      between(manifests, manifestLevels),
      between(shelves, shelfLevels),
      between(unfoldedExtents, extentLevels),
      between(used, usageLevels),
    );
    const fields = { manifests, shelves, unfoldedExtents, metadataBytes: usage?.inUseBytes };
    if (pressure >= 1 && this.#pressure < 1) {
      this.#logger.error(fields, 'producers are refused until metadata has been folded away');
    } else if (pressure > 0 && this.#pressure === 0) {
      this.#logger.warn(fields, 'producers are slowed down until metadata has been folded away');
    } else if (pressure === 0 && this.#pressure > 0) {
      this.#logger.info(fields, 'producers are no longer slowed down');
    }
    this.#pressure = pressure;
  }
}

/** 0 up to where slowing down begins, 1 from where refusing does. */
const between = (value: number, { slowFrom, refuseFrom }: Levels): number =>
  Math.min(1, Math.max(0, (value - slowFrom) / (refuseFrom - slowFrom)));
