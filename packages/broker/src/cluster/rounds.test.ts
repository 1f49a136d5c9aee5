import { seededRandom } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { Rounds, type Scope } from './rounds.ts';

function setUp({ spacingMs }: { readonly spacingMs?: number } = {}) {
  const clock = new FakeClock();
  const scopes: Scope[] = [];
  const running: { readonly end: (error?: Error) => void }[] = [];
  const rounds = new Rounds({
    ...{ clock, random: seededRandom(1) },
    ...(spacingMs !== undefined && { spacingMs }),
    isOver: (error) => (error as Error).message === 'over',
    round: (scope) =>
      new Promise((resolve, reject) => {
        scopes.push(scope);
        running.push({ end: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
  });
  const end = async (error?: Error) => {
    running.at(-1)!.end(error);
    await settled();
  };
  return { clock, rounds, scopes, end };
}

const isSettled = async (promise: Promise<void>) => {
  let done = false;
  void promise.then(() => (done = true));
  await settled();
  return done;
};

describe('rounds', () => {
  it('run one at a time, and those who wake them meanwhile share the next', async () => {
    const { rounds, scopes, end } = setUp();
    rounds.wake(new Set(['a']));
    rounds.wake(new Set(['b']));
    rounds.wake(new Set(['c']));
    expect(scopes).toEqual([new Set(['a'])]);
    await end();
    expect(scopes).toEqual([new Set(['a']), new Set(['b', 'c'])]);
    await end();
    expect(scopes).toHaveLength(2);
  });

  it('look at everything when somebody asks for that', async () => {
    const { rounds, scopes, end } = setUp();
    rounds.wake(new Set(['a']));
    rounds.wake();
    rounds.wake(new Set(['b']));
    await end();
    expect(scopes[1]).toBeUndefined();
  });

  it('are complete for somebody with the first one that starts after the question', async () => {
    const { rounds, end } = setUp();
    rounds.wake();
    const complete = rounds.complete();
    await end();
    expect(await isSettled(complete)).toBe(false);
    await end();
    expect(await isSettled(complete)).toBe(true);
  });

  it('are tried again after a failure, for the same topics and whoever waits', async () => {
    const { clock, rounds, scopes, end } = setUp();
    const complete = rounds.complete(new Set(['a']));
    await end(new Error('no answer'));
    expect(await isSettled(complete)).toBe(false);
    await clock.advanceAsync(100);
    expect(scopes).toEqual([new Set(['a']), new Set(['a'])]);
    await end();
    expect(await isSettled(complete)).toBe(true);
  });

  it('are over after a failure that nothing can mend, and nobody waits any more', async () => {
    const { clock, rounds, scopes, end } = setUp();
    const complete = rounds.complete();
    await end(new Error('over'));
    expect(await isSettled(complete)).toBe(true);
    rounds.wake();
    await clock.advanceAsync(10_000);
    expect(scopes).toHaveLength(1);
    expect(await isSettled(rounds.complete())).toBe(true);
  });

  it('end when they are closed, whatever becomes of the one that runs', async () => {
    const { clock, rounds, scopes, end } = setUp();
    const complete = rounds.complete();
    rounds.wake();
    rounds.close();
    await end(new Error('no answer'));
    await clock.advanceAsync(10_000);
    expect(await isSettled(complete)).toBe(true);
    expect(scopes).toHaveLength(1);
  });

  it('keep their distance where that is asked for', async () => {
    const { clock, rounds, scopes, end } = setUp({ spacingMs: 50 });
    rounds.wake();
    rounds.wake();
    await end();
    await clock.advanceAsync(49);
    expect(scopes).toHaveLength(1);
    await clock.advanceAsync(1);
    expect(scopes).toHaveLength(2);
  });
});
