/** Random lives of a group: members come, go, fall silent and come back, coordinators fail, and what must hold always holds. */
import assert from 'node:assert/strict';
import { ErrorCode } from '@kafscale/protocol';
import fc from 'fast-check';
import type { GroupMember, JoinAnswer, LeaveEvent, RequestId } from './classic/group-model.ts';
import { SimulatedGroup } from './simulated-group.ts';

const clients = 5;
const protocolLists = [['range'], ['range', 'sticky'], ['sticky', 'range']];

type Action =
  | { readonly type: 'join'; readonly client: number; readonly protocols: number; readonly fresh: boolean }
  | { readonly type: 'sync'; readonly client: number; readonly staleGeneration: boolean }
  | { readonly type: 'heartbeat' | 'commit' | 'leave'; readonly client: number }
  | { readonly type: 'leave-instance'; readonly client: number }
  | { readonly type: 'advance'; readonly ms: number }
  | { readonly type: 'fail-over' };

const client = fc.nat({ max: clients - 1 });
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('join' as const),
      client,
      protocols: fc.nat({ max: 2 }),
      fresh: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('sync' as const),
      client,
      staleGeneration: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('heartbeat', 'commit'), client }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('leave', 'leave-instance'), client }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('advance' as const),
      ms: fc.constantFrom(1, 500, 3_000, 6_000, 10_000, 70_000, 400_000),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'fail-over' as const }) },
);

/** What a client believes: the last answers it got. */
class SimulatedClient {
  memberId = '';
  generation = -1;
  readonly groupInstanceId: string | null;
  #joinRequest: RequestId | undefined;

  constructor(index: number) {
    this.groupInstanceId = index < 2 ? `pod-${index}` : null;
  }

  get identity() {
    return { memberId: this.memberId, groupInstanceId: this.groupInstanceId };
  }

  waitFor(request: RequestId): void {
    this.#joinRequest = request;
  }

  readAnswer(simulated: SimulatedGroup): void {
    const answer = this.#joinRequest === undefined ? undefined : simulated.joinAnswer(this.#joinRequest);
    if (answer === undefined) return;
    this.#joinRequest = undefined;
    if (answer.errorCode === ErrorCode.UNKNOWN_MEMBER_ID || answer.errorCode === ErrorCode.FENCED_INSTANCE_ID) {
      this.memberId = '';
      return;
    }
    if (answer.memberId !== '') this.memberId = answer.memberId;
    if (answer.errorCode === ErrorCode.NONE) this.generation = answer.generation;
  }
}

class Life {
  readonly simulated = new SimulatedGroup({ groupMaxSize: 4 });
  readonly #clients = Array.from({ length: clients }, (_, index) => new SimulatedClient(index));
  /** Per generation, the SyncGroup its assignments came from. */
  readonly #assignedBy = new Map<number, number>();
  /** Per generation, how it was announced. */
  readonly #announced = new Map<number, Pick<JoinAnswer, 'protocolName' | 'protocolType'>>();
  #newestGeneration = 0;
  #checkedAnswers = 0;
  readonly #parkable: RequestId[] = [];

  play(step: Action): void {
    const { simulated } = this;
    if (step.type === 'advance') simulated.advance(step.ms);
    else if (step.type === 'fail-over') simulated.failOver();
    else this.#act(step, this.#clients[step.client]);
    for (const one of this.#clients) one.readAnswer(simulated);
    this.#check();
  }

  #act(step: Exclude<Action, { type: 'advance' | 'fail-over' }>, actor: SimulatedClient | undefined): void {
    if (actor === undefined) return;
    const { simulated } = this;
    const { identity, generation } = actor;
    if (step.type === 'join') {
      const names = protocolLists[step.protocols] ?? [];
      const protocols = names.map((name) => ({ name, metadata: Uint8Array.of(step.protocols) }));
      const memberId = step.fresh ? '' : actor.memberId;
      const requiresKnownMemberId = step.client % 2 === 0;
      const supportsSkippingAssignment = step.client === 0;
      const given = { ...identity, memberId, protocols, requiresKnownMemberId, supportsSkippingAssignment };
      const request = simulated.join(given);
      this.#parkable.push(request);
      actor.waitFor(request);
    } else if (step.type === 'sync') {
      const tag = simulated.lastRequest + 1;
      const assignments = new Map(
        [...simulated.group.members.keys()].map((id) => [id, Uint8Array.of(tag & 255, tag >> 8)]),
      );
      this.#parkable.push(
        simulated.sync({ ...identity, generation: step.staleGeneration ? generation - 1 : generation, assignments }),
      );
    } else if (step.type === 'leave' || step.type === 'leave-instance') {
      const members: LeaveEvent['members'] = [step.type === 'leave' ? identity : { ...identity, memberId: '' }];
      simulated.leave(...members);
    } else {
      simulated[step.type]({ ...identity, generation });
    }
  }

  #check(): void {
    const { group } = this.simulated;
    const members = [...group.members.values()];
    assert.equal(group.leaderId === null, members.length === 0);
    if (group.leaderId !== null) assert(group.members.has(group.leaderId));
    assert(group.generation >= this.#newestGeneration);
    assert.deepEqual(
      new Set(members.filter(isStatic).map(({ memberId }) => memberId)),
      new Set(group.staticMembers.values()),
    );
    if (group.state === 'Empty') assert.equal(members.length, 0);
    for (const member of members) {
      assert(!group.pendingMembers.has(member.memberId));
      if (member.joinRequest !== undefined) assert.equal(group.state, 'PreparingRebalance');
      if (member.syncRequest !== undefined) assert.equal(group.state, 'CompletingRebalance');
    }
    this.#checkAnswers();
    this.#checkNobodyForgotten(members);
  }

  #checkAnswers(): void {
    const { simulated } = this;
    for (const request of simulated.answered.slice(this.#checkedAnswers)) {
      const answer = simulated.answers.get(request);
      if (answer?.type === 'join' && answer.errorCode === ErrorCode.NONE) this.#checkJoined(answer);
      if (answer?.type === 'sync' && answer.errorCode === ErrorCode.NONE) this.#checkAssignment(answer.assignment);
    }
    this.#checkedAnswers = simulated.answered.length;
  }

  #checkJoined({ generation, protocolName, protocolType }: JoinAnswer): void {
    assert(generation >= this.#newestGeneration);
    this.#newestGeneration = generation;
    const announced = this.#announced.get(generation) ?? { protocolName, protocolType };
    assert.deepEqual({ protocolName, protocolType }, announced);
    this.#announced.set(generation, announced);
  }

  /** Answers to SyncGroup are given in the generation the group has right then, or had before its next rebalance began. */
  #checkAssignment(assignment: Uint8Array): void {
    if (assignment.length === 0) return;
    const tag = (assignment[0] ?? 0) + (assignment[1] ?? 0) * 256;
    const known = this.#assignedBy.get(this.#newestGeneration) ?? tag;
    assert.equal(tag, known);
    this.#assignedBy.set(this.#newestGeneration, known);
  }

  #checkNobodyForgotten(members: readonly GroupMember[]): void {
    const parked = new Set(members.flatMap(({ joinRequest, syncRequest }) => [joinRequest, syncRequest]));
    for (const request of this.#parkable) {
      assert.equal(parked.has(request), !this.simulated.answers.has(request));
    }
  }

  /** Nobody says anything any more. */
  fallSilent(): void {
    for (let round = 0; round < 20; round += 1) this.simulated.advance(400_000);
    this.#check();
  }
}

const isStatic = (member: GroupMember) => member.groupInstanceId !== null;

describe('a classic group, whatever happens to it', () => {
  it('keeps its generations apart, answers each request exactly once and in the end is empty', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60, size: 'max' }), (actions) => {
        const life = new Life();
        for (const step of actions) life.play(step);
        life.fallSilent();
        expect(life.simulated.group).toMatchObject({ state: 'Empty', pendingMembers: new Set() });
        expect(life.simulated.pendingTimers).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });
});
