/** What the schedules exercised, so that a test can insist that nothing interesting has become rare. */
export const eventNames = [
  'crash',
  'crash around a store call',
  'crash at a failpoint',
  'pause',
  'pause around a store call',
  'zombie resumed after its partitions were taken',
  'takeover',
  'hand-over',
  'drain',
  'commit',
  'upload tried again under another name',
  'upload finished before an earlier one',
  'rollback',
  'rollback in closed flushes and the open one',
  'rollback of one producer in three places',
  'reply lost of a transaction that applied',
  'outcome learnt from the lane',
  'late delivery after a fold',
  'late delivery of a transaction',
  'session revoked to settle',
  'refused while the session was over',
  'resent while pending',
  'duplicate answered from pending',
  'duplicate answered from committed',
  'request delivered after a rollback',
  'lane conflict',
  'log start moved',
  'fold',
  'history compacted',
  'recovery of folded manifests',
] as const;

export type EventName = (typeof eventNames)[number];

export class EventCounts {
  readonly #counts = new Map<EventName, number>();

  count(event: EventName): void {
    this.#counts.set(event, this.of(event) + 1);
  }

  of(event: EventName): number {
    return this.#counts.get(event) ?? 0;
  }

  rarerThan(times: number): readonly EventName[] {
    return eventNames.filter((event) => this.of(event) < times);
  }

  add(other: EventCounts): void {
    for (const event of eventNames) this.#counts.set(event, this.of(event) + other.of(event));
  }

  toString(): string {
    return eventNames.map((event) => `${this.of(event).toString().padStart(9)}  ${event}`).join('\n');
  }
}
