/**
 * Which committed offsets have outlived their use (KIP-211). An empty group keeps them for the retention from when it became empty;
 * a group of consumers drops those of topics nobody subscribes to any more, and one that only ever commits drops each when it was not
 * committed for the retention. A time that an old client gave for itself counts instead.
 */
import type { TopicId } from '../metadata/metadata-image.ts';
import type { ClassicGroup } from './classic/group-model.ts';
import type { CommittedOffset, GroupOffsets } from './offset-store.ts';
import { isSubscribed, subscribedTopics } from './subscription.ts';

export interface ExpiredTopic {
  readonly topicId: TopicId;
  readonly partitions: number[];
}

export interface ExpiryRules {
  readonly nowMs: number;
  readonly retentionMs: number;
  /** Undefined for a topic that is gone. */
  readonly topicName: (topicId: TopicId) => string | undefined;
}

export function expiredOffsets(group: ClassicGroup, offsets: GroupOffsets, rules: ExpiryRules): ExpiredTopic[] {
  const countsFrom = retentionStart(group);
  if (countsFrom === undefined) return [];
  const expired: ExpiredTopic[] = [];
  for (const [topicId, committed] of offsets) {
    const name = rules.topicName(topicId);
    if (name !== undefined && isSubscribed(group, name)) continue;
    const partitions = [...committed]
      .filter(([, offset]) => isExpired(offset, countsFrom(offset), rules))
      .map(([partition]) => partition);
    if (partitions.length > 0) expired.push({ topicId, partitions });
  }
  return expired;
}

/** From when the retention of the group's offsets counts; undefined while none of them may expire. */
function retentionStart(group: ClassicGroup): ((offset: CommittedOffset) => number) | undefined {
  const sinceCommit = ({ commitMs }: CommittedOffset) => commitMs;
  if (group.protocolType === null) return sinceCommit;
  if (group.state === 'Empty') return () => group.stateMs;
  return group.state === 'Stable' && subscribedTopics(group) !== undefined ? sinceCommit : undefined;
}

function isExpired({ expireMs }: CommittedOffset, sinceMs: number, { nowMs, retentionMs }: ExpiryRules): boolean {
  return expireMs === undefined ? nowMs - sinceMs >= retentionMs : nowMs >= expireMs;
}
