/**
 * A group's shell: gives it one event at a time, keeps its timers, and stores it where the state machine asks for it. While a
 * record is on its way to the store everything else waits its turn, so no answer ever rests on what is not stored.
 */
import { ErrorCode, type metadata } from '@kafscale/protocol';
import type { CancelTimer, Clock } from '@kafscale/runtime';
import { refusedAnswer } from './classic/group-change.ts';
import { groupRecord } from './classic/group-record.ts';
import type {
  ClassicGroup,
  ClassicGroupSettings,
  GroupAnswer,
  GroupEffect,
  GroupEvent,
  GroupTimer,
  Outcome,
  RequestId,
} from './classic/group-model.ts';
import { resume, step } from './classic-group.ts';

export interface LiveGroupDependencies {
  readonly clock: Clock;
  readonly settings: ClassicGroupSettings;
  /** Resolves once stored. */
  readonly store: (record: metadata.GroupRecord) => Promise<void>;
  /** Called in the order in which the answers are due. */
  readonly answer: (requestId: RequestId, answer: GroupAnswer) => void;
}

interface Deadline {
  readonly timer: GroupTimer;
  readonly dueMs: number;
}

export class LiveGroup {
  readonly #dependencies: LiveGroupDependencies;
  readonly #queue: GroupEvent[] = [];
  readonly #deadlines = new Map<string, Deadline>();
  #group: ClassicGroup;
  #storing = false;
  #closed = false;
  #wakeMs = Number.POSITIVE_INFINITY;
  #cancelWake: CancelTimer | undefined;

  constructor(group: ClassicGroup, dependencies: LiveGroupDependencies) {
    this.#group = group;
    this.#dependencies = dependencies;
  }

  /** The group as its members may know it. */
  get group(): ClassicGroup {
    return this.#group;
  }

  /** Nothing is being stored and nothing waits for it. */
  get settled(): boolean {
    return !this.#storing;
  }

  /** Begins with what was stored: every member gets a full session timeout. */
  resume(): void {
    this.#carryOut(resume(this.#group, this.#dependencies.clock.wallMs(), this.#dependencies.settings));
  }

  handle(event: GroupEvent): void {
    if (this.#storing) this.#queue.push(event);
    else this.#step(event);
  }

  /** Nothing happens to the group any more. Requests that wait are left to the owner. */
  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#cancelWake?.();
  }

  #step(event: GroupEvent): void {
    if (this.#closed) return;
    const { clock, settings } = this.#dependencies;
    this.#carryOut(step(this.#group, event, clock.wallMs(), settings));
  }

  #carryOut(outcome: Outcome): void {
    if (outcome.effects.some(({ type }) => type === 'store')) void this.#store(outcome);
    else this.#settle(outcome);
  }

  async #store(outcome: Outcome): Promise<void> {
    this.#storing = true;
    let refused = false;
    try {
      await this.#dependencies.store(groupRecord(outcome.group));
    } catch {
      refused = true; // the owner has logged why, and closed this group if the store is lost
    }
    if (this.#closed) return;
    this.#storing = false;
    if (refused) this.#refuse(outcome.effects);
    else this.#settle(outcome);
    for (let event = this.#next(); event !== undefined; event = this.#next()) this.#step(event);
    if (this.#wakeMs <= this.#dependencies.clock.monotonicMs()) this.#wake();
  }

  #next(): GroupEvent | undefined {
    return this.#storing ? undefined : this.#queue.shift();
  }

  #settle({ group, effects }: Outcome): void {
    this.#group = group;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: GroupEffect): void {
    if (effect.type === 'answer') this.#dependencies.answer(effect.requestId, effect.answer);
    else if (effect.type === 'set-timer') this.#setTimer(effect.timer, effect.delayMs);
    else if (effect.type === 'cancel-timer') this.#deadlines.delete(timerName(effect.timer));
  }

  /** The event whose record was refused has not happened; whom it would have answered is told so. */
  #refuse(effects: readonly GroupEffect[]): void {
    const answered = new Set<RequestId>();
    for (const effect of effects) {
      if (effect.type !== 'answer') continue;
      answered.add(effect.requestId);
      this.#dependencies.answer(effect.requestId, refusedAnswer(effect.answer, ErrorCode.UNKNOWN_SERVER_ERROR));
    }
    this.#step({ type: 'record-refused', answered });
  }

  #setTimer(timer: GroupTimer, delayMs: number): void {
    const dueMs = this.#dependencies.clock.monotonicMs() + delayMs;
    this.#deadlines.set(timerName(timer), { timer, dueMs });
    if (dueMs < this.#wakeMs) this.#wakeAt(dueMs);
  }

  /** Sessions are renewed all the time, so the clock is asked to wake us for the earliest deadline there was, not for each. */
  #wakeAt(dueMs: number): void {
    this.#cancelWake?.();
    this.#wakeMs = dueMs;
    const { clock } = this.#dependencies;
    this.#cancelWake = clock.schedule(Math.max(0, dueMs - clock.monotonicMs()), () => this.#wake());
  }

  /** Runs what is due; not while a record is being stored, for heartbeats may wait behind it, but then as soon as it is. */
  #wake(): void {
    if (this.#closed) return;
    if (this.#storing) {
      this.#wakeMs = Number.NEGATIVE_INFINITY; // whatever the time is then: this timer may have come early, and is gone
      return;
    }
    this.#wakeMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#dependencies.clock.monotonicMs();
    const due = [...this.#deadlines.values()].filter(({ dueMs }) => dueMs <= nowMs);
    for (const deadline of due) {
      const name = timerName(deadline.timer);
      if (this.#deadlines.get(name) !== deadline) continue; // an earlier one cancelled or renewed it
      if (!this.settled) break; // one before it is being stored
      this.#deadlines.delete(name);
      this.#step({ type: 'timer', timer: deadline.timer });
    }
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#deadlines.values()) nextMs = Math.min(nextMs, dueMs);
    if (nextMs < this.#wakeMs) this.#wakeAt(nextMs);
  }
}

const timerName = (timer: GroupTimer) => (timer.type === 'session' ? `session ${timer.memberId}` : timer.type);
