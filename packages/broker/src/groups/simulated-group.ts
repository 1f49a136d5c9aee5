/**
 * A classic group in simulated time, for tests: carries out the effects of each event at once, keeps every answer and every stored
 * record, and can lose its coordinator.
 */
import { ErrorCode, metadata } from '@kafscale/protocol';
import { refusedJoin, refusedSync } from './classic/group-change.ts';
import { emptyGroup, resume, step } from './classic-group.ts';
import { groupFromRecord, groupRecord } from './classic/group-record.ts';
import type {
  ClassicGroup,
  ClassicGroupSettings,
  CommitEvent,
  GroupAnswer,
  GroupEvent,
  GroupTimer,
  HeartbeatEvent,
  JoinAnswer,
  JoinEvent,
  LeaveAnswer,
  LeaveEvent,
  Outcome,
  RequestId,
  SyncAnswer,
  SyncEvent,
} from './classic/group-model.ts';

type Given<Event> = Partial<Omit<Event, 'type' | 'requestId'>>;

export const simulatedSettings: ClassicGroupSettings = {
  groupInitialRebalanceDelayMs: 3_000,
  groupMaxSize: 100,
  groupMetadataMaxBytes: 1_000_000,
};

export class SimulatedGroup {
  readonly settings: ClassicGroupSettings;
  readonly answers = new Map<RequestId, GroupAnswer>();
  /** Requests in the order in which they were answered. */
  readonly answered: RequestId[] = [];
  group: ClassicGroup = emptyGroup('group', 0);
  stored: Uint8Array | undefined;
  nowMs = 0;
  #lastRequest = 0;
  readonly #timers = new Map<string, { timer: GroupTimer; dueMs: number }>();

  constructor(settings: Partial<ClassicGroupSettings> = {}) {
    this.settings = { ...simulatedSettings, ...settings };
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  get lastRequest(): RequestId {
    return this.#lastRequest;
  }

  join(given: Given<JoinEvent> = {}): RequestId {
    const requestId = this.#nextRequest();
    this.handle({
      type: 'join',
      requestId,
      memberId: '',
      newMemberId: `member-${requestId}`,
      groupInstanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Uint8Array.of(0) }],
      requiresKnownMemberId: false,
      supportsSkippingAssignment: false,
      ...given,
    });
    return requestId;
  }

  sync(given: Given<SyncEvent> = {}): RequestId {
    const requestId = this.#nextRequest();
    this.handle({
      type: 'sync',
      requestId,
      memberId: '',
      groupInstanceId: null,
      generation: this.group.generation,
      protocolType: null,
      protocolName: null,
      assignments: new Map(),
      ...given,
    });
    return requestId;
  }

  heartbeat(given: Given<HeartbeatEvent> = {}): ErrorCode {
    return this.#ask({
      type: 'heartbeat',
      requestId: this.#nextRequest(),
      memberId: '',
      groupInstanceId: null,
      generation: this.group.generation,
      ...given,
    }).errorCode;
  }

  commit(given: Given<CommitEvent> = {}): ErrorCode {
    return this.#ask({
      type: 'commit',
      requestId: this.#nextRequest(),
      memberId: '',
      groupInstanceId: null,
      generation: this.group.generation,
      ...given,
    }).errorCode;
  }

  leave(...members: LeaveEvent['members']): LeaveAnswer {
    return this.#ask({ type: 'leave', requestId: this.#nextRequest(), members }) as LeaveAnswer;
  }

  delete(): ErrorCode {
    return this.#ask({ type: 'delete', requestId: this.#nextRequest() }).errorCode;
  }

  joinAnswer(requestId: RequestId): JoinAnswer | undefined {
    return this.answers.get(requestId) as JoinAnswer | undefined;
  }

  syncAnswer(requestId: RequestId): SyncAnswer | undefined {
    return this.answers.get(requestId) as SyncAnswer | undefined;
  }

  advance(durationMs: number): void {
    const untilMs = this.nowMs + durationMs;
    for (;;) {
      const next = this.#nextTimer();
      if (next === undefined || next.dueMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      this.#timers.delete(timerName(next.timer));
      this.handle({ type: 'timer', timer: next.timer });
    }
    this.nowMs = untilMs;
  }

  /** Another coordinator takes over with what was stored; whoever waits is sent to it. */
  failOver(): void {
    for (const { joinRequest, syncRequest } of this.group.members.values()) {
      if (joinRequest !== undefined) this.#answer(joinRequest, refusedJoin(ErrorCode.NOT_COORDINATOR, ''));
      if (syncRequest !== undefined) this.#answer(syncRequest, refusedSync(ErrorCode.NOT_COORDINATOR));
    }
    this.#timers.clear();
    this.group =
      this.stored === undefined
        ? emptyGroup('group', this.nowMs)
        : groupFromRecord(metadata.GroupRecord.decode(this.stored));
    this.#carryOut(resume(this.group, this.nowMs, this.settings));
  }

  handle(event: GroupEvent): void {
    this.#carryOut(step(this.group, event, this.nowMs, this.settings));
  }

  #ask(event: GroupEvent & { readonly requestId: RequestId }): GroupAnswer {
    this.handle(event);
    const answer = this.answers.get(event.requestId);
    if (answer === undefined) throw new Error(`${event.type} was not answered`);
    return answer;
  }

  #carryOut({ group, effects }: Outcome): void {
    this.group = group;
    for (const effect of effects) {
      if (effect.type === 'store') this.stored = metadata.GroupRecord.encode(groupRecord(group)).finish();
    }
    for (const effect of effects) {
      if (effect.type === 'answer') {
        this.#answer(effect.requestId, effect.answer);
      } else if (effect.type === 'set-timer') {
        this.#timers.set(timerName(effect.timer), { timer: effect.timer, dueMs: this.nowMs + effect.delayMs });
      } else if (effect.type === 'cancel-timer') {
        this.#timers.delete(timerName(effect.timer));
      }
    }
  }

  #answer(requestId: RequestId, answer: GroupAnswer): void {
    if (this.answers.has(requestId)) throw new Error(`request ${requestId} was answered twice`);
    this.answers.set(requestId, answer);
    this.answered.push(requestId);
  }

  #nextRequest(): RequestId {
    this.#lastRequest += 1;
    return this.#lastRequest;
  }

  #nextTimer() {
    let next: { timer: GroupTimer; dueMs: number } | undefined;
    for (const entry of this.#timers.values()) {
      if (next === undefined || entry.dueMs < next.dueMs) next = entry;
    }
    return next;
  }
}

const timerName = (timer: GroupTimer) => (timer.type === 'session' ? `session ${timer.memberId}` : timer.type);
