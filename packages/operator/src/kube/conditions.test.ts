import { FakeClock } from '@kafscale/testkit';
import { findCondition, isConditionTrue, microTime, withConditions, type Observation } from './conditions.ts';

const ready = (status: 'True' | 'False', message = 'as wanted'): Observation => ({
  ...{ type: 'Ready', status, reason: status === 'True' ? 'AllReady' : 'Waiting', message },
});

describe('conditions', () => {
  const clock = new FakeClock({ wallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678) });

  it('move their time only when the status flips', () => {
    const first = withConditions(undefined, [ready('False')], { clock, generation: 1 });
    expect(first[0]).toMatchObject({ lastTransitionTime: '2026-01-02T03:04:05Z', observedGeneration: 1 });
    clock.advance(60_000);
    const second = withConditions(first, [ready('False', 'still waiting')], { clock, generation: 2 });
    expect(second[0]).toMatchObject({
      lastTransitionTime: '2026-01-02T03:04:05Z',
      message: 'still waiting',
      observedGeneration: 2,
    });
    const third = withConditions(second, [ready('True')], { clock, generation: 2 });
    expect(third[0]).toMatchObject({ lastTransitionTime: '2026-01-02T03:05:05Z', status: 'True' });
    expect(isConditionTrue(third, 'Ready')).toBe(true);
  });

  it('are the same text when the same is said again', () => {
    const first = withConditions(undefined, [ready('True')], { clock, generation: 1 });
    clock.advance(60_000);
    expect(withConditions(first, [ready('True')], { clock, generation: 1 })).toEqual(first);
  });

  it('keep what nobody observed, and their order', () => {
    const other: Observation = { type: 'Degraded', status: 'False', reason: 'Fine', message: '' };
    const first = withConditions(undefined, [ready('True'), other], { clock, generation: 1 });
    const second = withConditions(first, [{ ...other, status: 'True' }], { clock, generation: 1 });
    expect(second.map(({ type, status }) => `${type}=${status}`)).toEqual(['Ready=True', 'Degraded=True']);
    expect(findCondition(second, 'Absent')).toBeUndefined();
  });

  it('bounds the texts to what the API takes', () => {
    const [condition] = withConditions(undefined, [ready('True', 'x'.repeat(100_000))], { clock, generation: 1 });
    expect(condition?.message).toHaveLength(32_768);
  });

  it('writes micro times with six digits', () => {
    expect(microTime(Date.UTC(2026, 0, 2, 3, 4, 5, 678))).toBe('2026-01-02T03:04:05.678000Z');
  });
});
