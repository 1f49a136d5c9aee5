/**
 * Committed offsets as a register, over a bad network, while shards are handed over and brokers die, some of them without noticing:
 * what was acknowledged is never lost, what was seen never goes back, and nothing is seen that nobody committed.
 */
import assert from 'node:assert/strict';
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import fc from 'fast-check';
import type { MetadataFault } from '../metadata/faulty-metadata-store.ts';
import { topicA } from './coordinator-fixture.ts';
import { GroupCoordinators, type CoordinatorLife } from './group-coordinators-fixture.ts';

const groupIds = ['one', 'two', 'three'];

type Action =
  /** `stale` asks any broker, also a dead one. */
  | { readonly type: 'commit'; readonly group: number; readonly stale: boolean; readonly life: number }
  | { readonly type: 'move'; readonly group: number; readonly life: number }
  | { readonly type: 'kill'; readonly life: number; readonly notices: boolean }
  | { readonly type: 'advance'; readonly ms: number };

const life = fc.nat({ max: 5 });
const group = fc.nat({ max: 2 });

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      type: fc.constant('commit' as const),
      group,
      life,
      stale: fc.integer({ min: 0, max: 4 }).map((one) => one === 0),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('move' as const), group, life }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('kill' as const), life, notices: fc.boolean() }) },
  {
    weight: 4,
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
  readonly #cluster: GroupCoordinators;
  readonly #attempted = new Map<string, bigint>();
  /** Nothing below may be seen any more. */
  readonly #floor = new Map<string, bigint>();
  acknowledged = 0;
  moves = 0;

  private constructor(cluster: GroupCoordinators) {
    this.#cluster = cluster;
  }

  static async started(faults: readonly MetadataFault[]): Promise<Register> {
    const cluster = await GroupCoordinators.started(2);
    const register = new Register(cluster);
    await cluster.assign(groupIds, cluster.lives[0]!);
    await cluster.clock.advanceAsync(100);
    let next = 0;
    cluster.plan = ({ operation }) => {
      if (operation !== 'transact') return 'ok';
      next += 1;
      return faults[next % faults.length] ?? 'ok';
    };
    return register;
  }

  async play(step: Action): Promise<void> {
    const { clock } = this.#cluster;
    if (step.type === 'advance') await clock.advanceAsync(step.ms);
    else if (step.type === 'commit') await this.#commit(groupIds[step.group] ?? '', step);
    else if (step.type === 'move') await this.#move(groupIds[step.group] ?? '', step.life);
    else await this.#kill(step.life, step.notices);
    if (this.#cluster.living.length < 2) await this.#cluster.add();
    await this.#check();
  }

  /** The network works again: every group is served, with all that was acknowledged. */
  async finish(): Promise<void> {
    const { clock } = this.#cluster;
    this.#cluster.plan = () => 'ok';
    await clock.advanceAsync(60_000);
    if (this.#cluster.living.length === 0) await this.#cluster.add();
    await this.#reassign();
    await clock.advanceAsync(60_000);
    for (const groupId of groupIds) {
      const owner = await this.#cluster.ownerOf(groupId);
      assert(owner !== undefined, `${groupId} has no owner`);
      const seen = await this.#seen(owner, groupId);
      assert(seen !== undefined, `${groupId} is not served`);
      assert(seen >= (this.#floor.get(groupId) ?? -1n), `${groupId} lost what was acknowledged`);
    }
    await this.#check();
    await this.#cluster.close();
  }

  /** What is seen right now, by whoever still answers. */
  async #check(): Promise<void> {
    for (const groupId of groupIds) {
      for (const one of this.#cluster.lives) {
        const seen = await this.#seen(one, groupId);
        if (seen === undefined) continue;
        assert(seen >= (this.#floor.get(groupId) ?? -1n), `${groupId} went back to ${seen} at ${one.incarnation}`);
        assert(seen <= (this.#attempted.get(groupId) ?? -1n), `${groupId}: nobody committed ${seen}`);
        this.#floor.set(groupId, seen);
      }
    }
  }

  async #commit(groupId: string, { stale, life: index }: { stale: boolean; life: number }): Promise<void> {
    const { lives, clock } = this.#cluster;
    const asked = stale ? lives[index % lives.length] : await this.#cluster.ownerOf(groupId);
    if (asked === undefined) return;
    const offset = (this.#attempted.get(groupId) ?? -1n) + 1n;
    this.#attempted.set(groupId, offset);
    const offsets = new Map([
      [0, { offset, leaderEpoch: -1, metadata: '', commitMs: clock.wallMs(), expireMs: undefined }],
    ]);
    const call = { groupId, memberId: '', groupInstanceId: null, generation: -1 };
    const committed = asked.coordinator.commitOffsets({ ...call, topics: [{ topicId: topicA, offsets }] });
    void committed.then((errorCode) => {
      if (errorCode !== ErrorCode.NONE) return;
      this.acknowledged += 1;
      const floor = this.#floor.get(groupId) ?? -1n;
      this.#floor.set(groupId, offset > floor ? offset : floor);
    });
  }

  async #move(groupId: string, index: number): Promise<void> {
    const { living } = this.#cluster;
    this.moves += 1;
    await this.#cluster.assign([groupId], living[index % living.length]!);
  }

  async #kill(index: number, notices: boolean): Promise<void> {
    const { living } = this.#cluster;
    await this.#cluster.kill(living[index % living.length]!, notices);
    await this.#reassign();
  }

  /** What the controller does for shards of the dead. */
  async #reassign(): Promise<void> {
    for (const groupId of groupIds) {
      if ((await this.#cluster.ownerOf(groupId)) !== undefined) continue;
      const { living } = this.#cluster;
      await this.#cluster.assign([groupId], living[groupId.length % living.length]!);
    }
  }

  /** Undefined when the broker does not answer with an offset. */
  async #seen({ coordinator }: CoordinatorLife, groupId: string): Promise<bigint | undefined> {
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
    let [acknowledged, moves] = [0, 0];
    const schedules = fc.asyncProperty(
      fc.array(action, { maxLength: 40, size: 'max' }),
      fc.array(fault, { minLength: 1, maxLength: 20 }),
      async (actions, faults) => {
        const register = await Register.started(faults);
        for (const step of actions) await register.play(step);
        await register.finish();
        acknowledged += register.acknowledged;
        moves += register.moves;
      },
    );
    await fc.assert(schedules, { numRuns: 120 });
    expect(acknowledged).toBeGreaterThan(200);
    expect(moves).toBeGreaterThan(100);
  }, 120_000);
});
