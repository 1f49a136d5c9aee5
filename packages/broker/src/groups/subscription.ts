/**
 * The topics a group of consumers is subscribed to, as its members' metadata says: version, then the names, which every version of
 * the consumer protocol begins with. What other protocol types carry is never read.
 */
import { DecodeError, Reader } from '@kafscale/protocol';
import type { ClassicGroup } from './classic/group-model.ts';
import { protocolMetadata } from './classic/protocol-choice.ts';

const consumerProtocolType = 'consumer';

/** Whether committed offsets of the topic are in use. A group of consumers whose metadata cannot be read is taken to use them all. */
export function isSubscribed(group: ClassicGroup, topic: string): boolean {
  if (group.protocolType !== consumerProtocolType) return false;
  return subscribedTopics(group)?.has(topic) ?? true;
}

/** Whether the group's members are consumers, of which it can be known what they are subscribed to. */
export const isConsumerGroup = (group: ClassicGroup): boolean => group.protocolType === consumerProtocolType;

/** Undefined when it is not known. */
export function subscribedTopics(group: ClassicGroup): ReadonlySet<string> | undefined {
  if (!isConsumerGroup(group)) return undefined;
  const topics = new Set<string>();
  try {
    for (const member of group.members.values()) {
      for (const topic of readTopics(protocolMetadata(member, group.protocolName))) topics.add(topic);
    }
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
  return topics;
}

function readTopics(metadata: Uint8Array): string[] {
  const reader = new Reader(metadata);
  reader.int16('version');
  const topics: string[] = [];
  for (let left = reader.int32('topics'); left > 0; left -= 1) topics.push(reader.nullableString('topic') ?? '');
  return topics;
}
