/**
 * Every Event that the operator writes about a topic's resource, with what it means: the one table, from which the reference page is
 * printed. Reasons are for ever, since people alert on them.
 */
import type { EventNote } from '../../kube/index.ts';

interface EventDescription {
  readonly type: EventNote['type'];
  /** What the operator did or tried. */
  readonly action: string;
  readonly meaning: string;
}

const describe = <const Table extends Readonly<Record<string, EventDescription>>>(table: Table) => table;

export const topicEvents = describe({
  Created: { type: 'Normal', action: 'Create', meaning: 'The topic was created.' },
  Adopted: {
    type: 'Normal',
    action: 'Adopt',
    meaning: 'The topic existed before its resource, and is kept as that says.',
  },
  Recreated: {
    ...{ type: 'Warning', action: 'Create' },
    meaning: 'Somebody else had deleted the topic. It was created again, and is empty.',
  },
  PartitionsAdded: { type: 'Normal', action: 'Grow', meaning: 'Partitions were added.' },
  ConfigChanged: {
    type: 'Normal',
    action: 'Configure',
    meaning: 'Settings were set, set back or returned to their defaults.',
  },
  Deleted: {
    type: 'Normal',
    action: 'Delete',
    meaning: 'The topic was deleted with its records, as deletionPolicy says.',
  },
  TopicKept: {
    ...{ type: 'Warning', action: 'Delete' },
    meaning: 'The resource goes and its topic was not deleted, although deletionPolicy says so; the note says why.',
  },
  Refused: { type: 'Warning', action: 'Reconcile', meaning: 'The brokers refuse what the resource asks for.' },
  NameTaken: { type: 'Warning', action: 'Reconcile', meaning: 'An older resource describes the topic already.' },
  PartitionsCannotShrink: {
    ...{ type: 'Warning', action: 'Reconcile' },
    meaning: 'The topic has more partitions than asked for, and keeps them.',
  },
});

export type TopicEventReason = keyof typeof topicEvents;

/** The note of an event of the table. */
export function topicEvent(reason: TopicEventReason, note: string): EventNote {
  const { type, action } = topicEvents[reason];
  return { type, reason, action, note };
}

export const isTopicEvent = (reason: string): reason is TopicEventReason => Object.hasOwn(topicEvents, reason);
