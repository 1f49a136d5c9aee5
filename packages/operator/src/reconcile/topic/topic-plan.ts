/** What has to be asked of the brokers so that a topic is as its resource says: pure, from what is wished and what was seen. */
import type { SeenTopic } from './topic-catalogue.ts';
import type { TopicWish } from './topic-wish.ts';

export type TopicPlan =
  | { readonly type: 'create' }
  /** Empty in all its parts where nothing is to be done. */
  | {
      readonly type: 'change';
      readonly growTo: number | undefined;
      readonly set: Readonly<Record<string, string>>;
      readonly unset: readonly string[];
      /** It has more than asked for, and will keep them. */
      readonly hasTooMany: boolean;
    };

/** `applied` are names of settings that the resource may have set; what it no longer names of them returns to its default. */
export function planOf(wish: TopicWish, seen: SeenTopic | undefined, applied: readonly string[]): TopicPlan {
  if (seen === undefined) return { type: 'create' };
  const count = seen.leaders.length;
  return {
    type: 'change',
    growTo: count < wish.partitions ? wish.partitions : undefined,
    set: Object.fromEntries([...wish.configs].filter(([name, value]) => seen.configs.get(name) !== value)),
    unset: applied.filter((name) => !wish.configs.has(name) && seen.configs.has(name)),
    hasTooMany: count > wish.partitions,
  };
}

export const isNothing = (plan: TopicPlan): boolean =>
  plan.type === 'change' && plan.growTo === undefined && Object.keys(plan.set).length === 0 && plan.unset.length === 0;
