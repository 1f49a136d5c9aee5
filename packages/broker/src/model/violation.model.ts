/** A promise that did not hold, by its kind: each belongs to an invariant of the write path. */
export const violationKinds = [
  /** A record was acknowledged that is not in the log, or elsewhere (I1). */
  'acknowledged and not committed',
  /** A committed record is not found by a later owner (I1). */
  'lost',
  /** Two records claimed one offset (I2, I3). */
  'offset reused',
  /** Offsets were left out (I7). */
  'hole',
  /** A record is in the log twice (I4). */
  'duplicate',
  /** A producer's records are not in the order it sent them, or one is missing between them (I5). */
  'out of order',
  /** What was answered as failed is in the log (I6). */
  'failed and committed',
  /** A reader saw what is not committed (I6). */
  'phantom',
  /** A reader saw other bytes than were committed there (I2). */
  'wrong bytes',
  /** Somebody committed who does not own the partition in that epoch (I10, I11). */
  'fenced writer committed',
  /** A partition was taken although its owner's session lived (I11). */
  'taken from the living',
  /** A broker counted on its session after its partitions had been taken (I8, I9). */
  'session overestimated',
  /** A broker that may serve does not show what was acknowledged (I8). */
  'stale read',
  /** A leader epoch or a log start did not move forward (I17). */
  'went back',
  /** A transaction applied a second time, or after its lane had reported that it had not (K1). */
  'applied again',
  /** A committed flush names an object that is not there (I14). */
  'object missing',
  /** A client was told that its next batch was out of order. */
  'refused in order',
  /** Recovery found extents that make no log. */
  'does not tile',
  /** Something is still waiting after everything healed (I19). */
  'stuck',
  /** The code threw where it promises not to. */
  'crashed by itself',
] as const;

export type ViolationKind = (typeof violationKinds)[number];

export interface Violation {
  readonly kind: ViolationKind;
  readonly detail: string;
}

export type Report = (kind: ViolationKind, detail: string) => void;
