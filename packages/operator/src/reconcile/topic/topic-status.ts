/** What the status of a topic says: pure, from what a reconcile found, so that the same finding gives the same status. */
import type { TopicConditionReason } from '../../api/conditions.ts';
import { reportedPartitions, type KafScaleTopicStatus } from '../../api/topic.ts';
import { findCondition, withConditions, type Condition, type ConditionStatus, type Stored } from '../../kube/index.ts';
import type { KafScaleTopic } from '../resource-kinds.ts';
import type { SeenTopic } from './topic-catalogue.ts';

export interface TopicFinding {
  readonly reason: TopicConditionReason;
  readonly message: string;
  /** `missing` where the brokers say that there is none; undefined where they could not be asked. */
  readonly seen?: SeenTopic | 'missing' | undefined;
  /** Names of settings that the resource may have set; as before when absent. */
  readonly applied?: readonly string[] | undefined;
}

const readyStatus: Readonly<Record<TopicConditionReason, ConditionStatus>> = {
  Synced: 'True',
  ClusterNotFound: 'False',
  ClusterNotReady: 'Unknown',
  PartitionsCannotShrink: 'False',
  Refused: 'False',
  NameTaken: 'False',
  Deleting: 'False',
  Unreachable: 'Unknown',
};

export const readyCondition = 'Ready';

/** As the runtime has them: a field that is absent is absent. */
export function conditionsOf(status: KafScaleTopicStatus | undefined): readonly Condition[] {
  return (status?.conditions ?? []).map(({ observedGeneration, ...rest }) => {
    return { ...rest, ...(observedGeneration !== undefined && { observedGeneration }) };
  });
}

export function statusOf(
  { metadata, status: before = {} }: Stored<KafScaleTopic>,
  finding: TopicFinding,
  now: Parameters<typeof withConditions>[2]['clock'],
): KafScaleTopicStatus {
  const { reason, message, seen, applied = before.appliedConfig ?? [] } = finding;
  const { generation } = metadata;
  const observation = { type: readyCondition, status: readyStatus[reason], reason, message };
  return {
    ...(generation !== undefined && { observedGeneration: generation }),
    phase: reason === 'Synced' ? 'Ready' : reason,
    ...figuresOf(before, seen),
    ...(applied.length > 0 && { appliedConfig: [...applied].sort() }),
    conditions: [...withConditions(conditionsOf(before), [observation], { clock: now, generation })],
  };
}

/** The status before settings of these names are touched: whatever happens then, they are known to be ours to set back. */
export function statusBeforeSetting(
  { status: before = {} }: Stored<KafScaleTopic>,
  names: readonly string[],
): KafScaleTopicStatus {
  return { ...before, phase: before.phase ?? 'Pending', appliedConfig: [...names].sort() };
}

/** For how long `Ready` has been what it is. */
export function unchangedForMs(
  { status }: Stored<KafScaleTopic>,
  reason: TopicConditionReason,
  wallMs: number,
): number {
  const condition = findCondition(conditionsOf(status), readyCondition);
  return condition?.reason === reason ? Math.max(0, wallMs - Date.parse(condition.lastTransitionTime)) : 0;
}

function figuresOf(
  before: KafScaleTopicStatus,
  seen: TopicFinding['seen'],
): Pick<KafScaleTopicStatus, 'topicId' | 'partitionCount' | 'partitions'> {
  if (seen === 'missing') return {};
  if (seen === undefined) {
    const { topicId, partitionCount, partitions } = before;
    return {
      ...(topicId !== undefined && { topicId }),
      ...(partitionCount !== undefined && { partitionCount }),
      ...(partitions !== undefined && { partitions }),
    };
  }
  const { topicId, leaders, figures } = seen;
  const isSameTopic = before.topicId === topicId && before.partitionCount === leaders.length;
  const known = figures ?? (isSameTopic ? before.partitions : undefined);
  const partitions = known ?? leaders.slice(0, reportedPartitions).map((leader, id) => ({ id, leader }));
  return { topicId, partitionCount: leaders.length, partitions: [...partitions] };
}
