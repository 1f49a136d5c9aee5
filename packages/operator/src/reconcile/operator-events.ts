/**
 * Every Event that the operator writes about a cluster, with what it means: the one table, from which the reference page is printed.
 * Reasons are for ever, since people alert on them.
 */
import type { EventNote } from '../kube/index.ts';

interface EventDescription {
  readonly type: EventNote['type'];
  /** What the operator did or tried. */
  readonly action: string;
  readonly meaning: string;
}

const describe = <const Table extends Readonly<Record<string, EventDescription>>>(table: Table) => table;

export const clusterEvents = describe({
  ScaledUp: { type: 'Normal', action: 'Scale', meaning: 'More brokers are asked for.' },
  BrokerDraining: {
    type: 'Normal',
    action: 'Drain',
    meaning: 'A broker was chosen to go and hands over what it owns.',
  },
  ScaledDown: {
    type: 'Normal',
    action: 'Scale',
    meaning: 'One broker fewer is asked for; the one that goes owns nothing.',
  },
  BrokerStays: { type: 'Normal', action: 'Drain', meaning: 'A broker that was to go may stay after all.' },
  DrainTimedOut: {
    ...{ type: 'Warning', action: 'Drain' },
    meaning: 'A broker could not hand everything over in time and stays; it is tried again later.',
  },
  BrokerNotAnswering: {
    ...{ type: 'Warning', action: 'Drain' },
    meaning: 'The control port of a broker that was to go did not answer; it stays, and is tried again later.',
  },
  ScaleDownForced: {
    ...{ type: 'Warning', action: 'Scale' },
    meaning:
      'A broker goes although it could not hand everything over: the annotation kafscale.io/force-scale-down says so.',
  },
  AnotherBrokerWent: {
    ...{ type: 'Warning', action: 'Scale' },
    meaning: 'Kubernetes took another pod than the drained one. That one drained itself when it was told to stop.',
  },
  ReplicasAdopted: {
    ...{ type: 'Normal', action: 'Scale' },
    meaning: 'A count that somebody set on the Deployment was taken over into the resource.',
  },
  ReplicasRestored: {
    ...{ type: 'Warning', action: 'Scale' },
    meaning: 'A count that somebody set on the Deployment does not stay, since an autoscaler decides on it.',
  },
  InvalidSpec: { type: 'Warning', action: 'Reconcile', meaning: 'The resource asks for something that cannot be.' },
  MissingSecret: {
    type: 'Warning',
    action: 'Reconcile',
    meaning: 'A secret that the resource names is missing or lacks a key.',
  },
  Denied: { type: 'Warning', action: 'Reconcile', meaning: 'The API server refused an object of the cluster.' },
  RolloutStuck: { type: 'Warning', action: 'Rollout', meaning: 'A change does not get on.' },
  ImageUnavailable: { type: 'Warning', action: 'Rollout', meaning: 'An image cannot be pulled or started.' },
  BrokersUnavailable: {
    type: 'Warning',
    action: 'Rollout',
    meaning: 'Brokers are not ready for longer than a start takes.',
  },
  EtcdMemberLost: { type: 'Warning', action: 'Watch', meaning: 'A member of the managed etcd is missing.' },
  EtcdNearlyFull: { type: 'Warning', action: 'Watch', meaning: 'etcd uses most of its quota.' },
  ObjectStoreDegraded: { type: 'Warning', action: 'Watch', meaning: 'Brokers report errors of the object store.' },
});

export type ClusterEventReason = keyof typeof clusterEvents;

/** The note of an event of the table. */
export function clusterEvent(reason: ClusterEventReason, note: string): EventNote {
  const { type, action } = clusterEvents[reason];
  return { type, reason, action, note };
}

export const isClusterEvent = (reason: string): reason is ClusterEventReason => Object.hasOwn(clusterEvents, reason);
