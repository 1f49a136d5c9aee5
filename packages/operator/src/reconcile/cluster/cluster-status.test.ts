import type { BrokerStatus } from '@kafscale/protocol';
import { clusterConditions, type ClusterConditionType } from '../../api/conditions.ts';
import { clusterObservations, phaseOf, type ClusterObservation } from './cluster-status.ts';

const broker = (objectStoreState = 'healthy'): BrokerStatus => ({
  ...{ brokerId: 0, version: '0.1.0', ready: true, incarnation: 'x', cordoned: false, coordinatorShards: [] },
  ...{ objectStoreState, metadataStoreReachable: true, isController: false, draining: false, partitions: [] },
});

const well: ClusterObservation = {
  wanted: 2,
  deployment: { replicas: 2, ready: 2, isRollingOut: false },
  troubles: [],
  brokers: [broker(), broker()],
  step: { type: 'nothing' },
  etcd: { isManaged: true, reason: 'Answering', message: 'answers', members: 3, ready: 3, quotaUsed: 0.1 },
  snapshot: { reason: 'Fresh', message: 'fresh' },
  topics: { total: 4, notSynced: [] },
};

const conditionsOf = (change: Partial<ClusterObservation>) => {
  const observations = clusterObservations({ ...well, ...change });
  const condition = (type: ClusterConditionType) => observations.find((one) => one.type === type)!;
  return { condition, phase: phaseOf(observations) };
};

test('a cluster that is well says so', () => {
  const { condition, phase } = conditionsOf({});
  expect(phase).toBe('Ready');
  expect(condition('Ready')).toMatchObject({ status: 'True', reason: 'AllBrokersReady' });
  expect(condition('Degraded').status).toBe('False');
});

const pod = {
  ...{ name: 'kafscale-broker-x', uid: 'u', phase: 'Running', isScheduled: true, isReady: true },
  ...{ isTerminating: false, createdMs: 0, restarts: 0, deletionCost: 0 },
};
const deployment = { replicas: 2, ready: 2, isRollingOut: false };

test.each<[string, Partial<ClusterObservation>, ClusterConditionType, string, string, string]>([
  [
    'a fault',
    { fault: { reason: 'MissingSecret', message: 'no' } },
    'Ready',
    'False',
    'MissingSecret',
    'MissingSecret',
  ],
  ['no broker yet', { deployment: undefined }, 'Ready', 'False', 'BrokersNotReady', 'ScalingUp'],
  [
    'none wanted',
    { wanted: 0, deployment: { ...deployment, replicas: 0, ready: 0 } },
    'Ready',
    'True',
    'ScaledToZero',
    'Ready',
  ],
  [
    'a rollout',
    { deployment: { ...deployment, isRollingOut: true } },
    'Progressing',
    'True',
    'RollingOut',
    'RollingOut',
  ],
  ['too many', { wanted: 1, step: { type: 'drain', pod } }, 'Progressing', 'True', 'ScalingDown', 'ScalingDown'],
  ['a stuck rollout', { deployment: { ...deployment, trouble: 'x' } }, 'Degraded', 'True', 'RolloutStuck', 'Degraded'],
  [
    'an image that is not there',
    { troubles: [{ pod: 'p', reason: 'ImageUnavailable', message: 'x' }] },
    ...(['Degraded', 'True', 'ImageUnavailable', 'Degraded'] as const),
  ],
  ['a lost member', { etcd: { ...well.etcd, ready: 2 } }, 'Degraded', 'True', 'EtcdMemberLost', 'Degraded'],
  ['a full etcd', { etcd: { ...well.etcd, quotaUsed: 0.8 } }, 'Degraded', 'True', 'EtcdNearlyFull', 'Degraded'],
  ['no quorum', { etcd: { ...well.etcd, reason: 'NoQuorum' } }, 'EtcdAvailable', 'False', 'NoQuorum', 'EtcdNotReady'],
  ['a slow bucket', { brokers: [broker(), broker('degraded')] }, 'S3Reachable', 'True', 'Degraded', 'Degraded'],
  ['no bucket', { brokers: [broker(), broker('unavailable')] }, 'S3Reachable', 'False', 'Unavailable', 'Degraded'],
  ['no report', { brokers: [] }, 'S3Reachable', 'Unknown', 'Unknown', 'Ready'],
  ['an old snapshot', { snapshot: { reason: 'Stale', message: 'x' } }, 'SnapshotHealthy', 'False', 'Stale', 'Ready'],
  [
    'a drain that takes too long',
    { wanted: 1, step: { type: 'release', pods: [pod], because: 'DrainTimedOut' } },
    ...(['ScaleDownBlocked', 'True', 'DrainTimedOut', 'ScaleDownBlocked'] as const),
  ],
  ['topics', { topics: { total: 2, notSynced: ['a'] } }, 'TopicsSynced', 'False', 'SomeNotSynced', 'Ready'],
])('%s shows', (_, change, type, status, reason, phase) => {
  const { condition, phase: shown } = conditionsOf(change);
  expect(condition(type)).toMatchObject({ status, reason });
  expect(shown).toBe(phase);
});

test('every condition of the table is there, and no reason that is not in it', () => {
  const observations = clusterObservations(well);
  expect(observations.map(({ type }) => type).sort()).toEqual(Object.keys(clusterConditions).sort());
  for (const { type, reason } of observations) {
    expect(Object.keys(clusterConditions[type as ClusterConditionType].reasons)).toContain(reason);
  }
});
