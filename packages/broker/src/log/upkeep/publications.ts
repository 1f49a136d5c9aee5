/**
 * Names for everything an incarnation stores besides flushes, in the one sequence of its upkeep lane, and the floor of that lane:
 * garbage collection may judge an object once its publication is settled, so a publication holds the floor down until it is known to
 * have applied or never to apply (COMMIT.md K7).
 */
import type { FlooredLane } from '../../metadata/lane.ts';
import type { ObjectKind, ObjectNames, SegmentPlace } from '../../storage/object-names.ts';
import type { ObjectKey } from '../../storage/object-store.ts';

export interface PublicationsDependencies {
  readonly names: ObjectNames;
  readonly lane: Pick<FlooredLane, 'raiseFloor'>;
  readonly incarnation: string;
  /** At least 64 random bits, as letters, digits, `_` and `-`. */
  readonly unique: () => string;
}

/** The objects of one publication. */
export interface Publication {
  /** A sequence number, held open with the publication. */
  nextSequence(): number;
  /** A name never used before for the object of that sequence; each attempt to store it takes another. */
  nameFlat(kind: Exclude<ObjectKind, 'flush'>, sequence: number): ObjectKey;
  nameSegment(place: SegmentPlace, sequence: number): { readonly segment: ObjectKey; readonly index: ObjectKey };
  /** No transaction that names one of its objects is open any more, nor will be. Called once, whatever happened. */
  settle(): void;
}

export class Publications {
  readonly #dependencies: PublicationsDependencies;
  readonly #open = new Set<number>();
  #next = 0;

  constructor(dependencies: PublicationsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Every object with a lower sequence belongs to a settled publication. */
  get floor(): number {
    let floor = this.#next;
    for (const sequence of this.#open) floor = Math.min(floor, sequence);
    return floor;
  }

  begin(): Publication {
    const { names, lane, incarnation, unique } = this.#dependencies;
    const own: number[] = [];
    return {
      nextSequence: () => {
        const sequence = this.#next;
        this.#next += 1;
        this.#open.add(sequence);
        own.push(sequence);
        return sequence;
      },
      nameFlat: (kind, sequence) => names.flat(kind, { incarnation, sequence, unique: unique() }),
      nameSegment: (place, sequence) => names.segment(place, { incarnation, sequence, unique: unique() }),
      settle: () => {
        for (const sequence of own) this.#open.delete(sequence);
        lane.raiseFloor(this.floor);
      },
    };
  }
}
