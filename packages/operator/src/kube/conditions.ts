/**
 * Conditions of a status: observations that are true, false or unknown, each with a reason for machines and a sentence for people. A
 * condition's time moves only when its status flips, so a status that says the same again is the same text.
 */
import type { Clock } from '@kafscale/runtime';

export type ConditionStatus = 'True' | 'False' | 'Unknown';

/** As it is stored; a list of them is keyed by `type`. */
export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  /** CamelCase, stable. */
  readonly reason: string;
  readonly message: string;
  /** The generation of the object that was looked at. */
  readonly observedGeneration?: number | undefined;
  /** RFC 3339, whole seconds. */
  readonly lastTransitionTime: string;
}

export type Observation = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

const longestMessage = 32_768;
const longestReason = 1024;

/**
 * The conditions after these observations: each takes its place by type, in the order of the list there was, new ones behind. Those
 * nobody observed stay as they are.
 */
export function withConditions(
  before: readonly Condition[] | undefined,
  observations: readonly Observation[],
  { clock, generation }: { readonly clock: Clock; readonly generation: number | undefined },
): readonly Condition[] {
  const now = wholeSecond(clock.wallMs());
  const byType = new Map((before ?? []).map((condition) => [condition.type, condition]));
  for (const observation of observations) {
    const old = byType.get(observation.type);
    byType.set(observation.type, {
      type: observation.type,
      status: observation.status,
      reason: observation.reason.slice(0, longestReason),
      message: observation.message.slice(0, longestMessage),
      ...(generation !== undefined && { observedGeneration: generation }),
      lastTransitionTime: old?.status === observation.status ? old.lastTransitionTime : now,
    });
  }
  return [...byType.values()];
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

export function isConditionTrue(conditions: readonly Condition[] | undefined, type: string): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** A wall-clock moment as `metav1.Time` writes it. */
export function wholeSecond(wallMs: number): string {
  return `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
}

/** A wall-clock moment as `metav1.MicroTime` writes it. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}
