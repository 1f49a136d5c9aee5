/**
 * Committed offsets as a register, over a bad network and through crashes: what was acknowledged is never lost, what was seen never
 * goes back, and nothing is seen that nobody committed.
 */
import assert from 'node:assert/strict';
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import fc from 'fast-check';
import { FaultyMetadataStore, type MetadataFault } from '../metadata/faulty-metadata-store.ts';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { fixtureSettings, openAll, SettableImage, topicA } from './coordinator-fixture.ts';
import { GroupCoordinator } from './group-coordinator.ts';

const groupIds = ['one', 'two', 'three'];
const sessionSettings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };

type Action =
  | { readonly type: 'commit'; readonly group: number }
  | { readonly type: 'crash' | 'stop' }
  | { readonly type: 'advance'; readonly ms: number };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('commit' as const), group: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('crash', 'stop') }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('advance' as const), ms: fc.constantFrom(1, 100, 900, 4_000, 31_000) }),
  },
);

const fault: fc.Arbitrary<MetadataFault> = fc.oneof(
  { weight: 6, arbitrary: fc.constant('ok' as const) },
  { weight: 1, arbitrary: fc.constantFrom('fail-before' as const, 'lost-reply' as const, 'hang-after' as const) },
  { weight: 2, arbitrary: fc.record({ delayMs: fc.constantFrom(5, 300, 1_500) }) },
  { weight: 2, arbitrary: fc.record({ deliverAgainAfterMs: fc.constantFrom(50, 2_000, 40_000) }) },
);

class Register {
  readonly #clock = new FakeClock();
  readonly #inner = new MemoryMetadataStore({ clock: this.#clock });
  readonly #store: FaultyMetadataStore;
  readonly #image = new SettableImage();
  readonly #attempted = new Map<string, bigint>();
  /** Nothing below may be seen any more. */
  readonly #floor = new Map<string, bigint>();
  readonly #lives: { session: Session; coordinator: GroupCoordinator }[] = [];
  acknowledged = 0;

  constructor(faults: readonly MetadataFault[]) {
    let next = 0;
    const plan = ({ operation }: { operation: string }): MetadataFault => {
      if (operation !== 'transact') return 'ok';
      next += 1;
      return faults[next % faults.length] ?? 'ok';
    };
    this.#store = new FaultyMetadataStore(this.#inner, { clock: this.#clock, plan });
    this.#image.setTopic('a', topicA);
  }

  async play(step: Action): Promise<void> {
    if (step.type === 'advance') await this.#clock.advanceAsync(step.ms);
    else if (step.type === 'commit') this.#commit(groupIds[step.group] ?? '');
    else await this.restart(step.type === 'stop');
    await this.check();
  }

  /** Whatever the former incarnation still has on its way, it is over: its lease is gone before the next one loads. */
  async restart(gracefully: boolean): Promise<void> {
    const life = this.#lives.at(-1);
    if (life !== undefined) {
      const closed = life.coordinator.close();
      if (gracefully) await this.#clock.runUntilSettled(closed);
      await this.#inner.revokeLease(life.session.leaseId);
      life.session.end(new Error('crashed'));
    }
    const { plan } = this.#store;
    this.#store.heal();
    const dependencies = { store: this.#store, clock: this.#clock, settings: sessionSettings };
    const session = await Session.open(`incarnation-${this.#lives.length}`, dependencies);
    this.#store.plan = plan;
    const coordinator = new GroupCoordinator({
      store: this.#store,
      lane: session.lane('coordinator'),
      image: this.#image,
      clock: this.#clock,
      settings: fixtureSettings,
      randomId: () => 'id',
      isAlive: () => session.alive,
    });
    await openAll(coordinator, this.#lives.length);
    this.#lives.push({ session, coordinator });
  }

  /** What is seen right now, by whoever still answers. */
  async check(): Promise<void> {
    for (const groupId of groupIds) {
      for (const { coordinator } of this.#lives) {
        const seen = await this.#fetch(coordinator, groupId);
        if (seen === undefined) continue;
        assert(seen >= (this.#floor.get(groupId) ?? -1n), `${groupId} went back to ${seen}`);
        assert(seen <= (this.#attempted.get(groupId) ?? -1n), `${groupId}: nobody committed ${seen}`);
        this.#floor.set(groupId, seen);
      }
    }
  }

  #commit(groupId: string): void {
    const offset = (this.#attempted.get(groupId) ?? -1n) + 1n;
    this.#attempted.set(groupId, offset);
    const commitMs = this.#clock.wallMs();
    const offsets = new Map([[0, { offset, leaderEpoch: -1, metadata: '', commitMs, expireMs: undefined }]]);
    const call = { groupId, memberId: '', groupInstanceId: null, generation: -1 };
    const committed = this.#lives
      .at(-1)
      ?.coordinator.commitOffsets({ ...call, topics: [{ topicId: topicA, offsets }] });
    void committed?.then((errorCode) => {
      if (errorCode !== ErrorCode.NONE) return;
      this.acknowledged += 1;
      const floor = this.#floor.get(groupId) ?? -1n;
      this.#floor.set(groupId, offset > floor ? offset : floor);
    });
  }

  /** Undefined when the coordinator does not answer. */
  async #fetch(coordinator: GroupCoordinator, groupId: string): Promise<bigint | undefined> {
    try {
      return (await coordinator.committedOffsets(groupId)).get(topicA)?.get(0)?.offset ?? -1n;
    } catch (error) {
      if (error instanceof KafkaError) return undefined;
      throw error;
    }
  }
}

describe('a committed offset', () => {
  it('once acknowledged or seen is never lost and never goes back', async () => {
    let acknowledged = 0;
    const lives = fc.asyncProperty(
      fc.array(action, { maxLength: 40, size: 'max' }),
      fc.array(fault, { minLength: 1, maxLength: 20 }),
      async (actions, faults) => {
        const register = new Register(faults);
        await register.restart(false);
        for (const step of actions) await register.play(step);
        await register.restart(true);
        await register.check();
        acknowledged += register.acknowledged;
      },
    );
    await fc.assert(lives, { numRuns: 200 });
    expect(acknowledged).toBeGreaterThan(500);
  });
});
