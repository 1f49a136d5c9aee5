import type { BrokerStatus } from '@kafscale/protocol';
import type { BrokerPod } from './broker-pod.ts';
import { inDeletionOrder } from './deletion-order.ts';
import { nextStep, type ScaleDownView, type Step } from './scale-down.ts';

const nowMs = 1_000_000_000;
const minute = 60_000;

const pod = (name: string, more: Partial<BrokerPod> = {}): BrokerPod => ({
  ...{ name, uid: `uid-${name}`, ip: '10.0.0.1', node: name, phase: 'Running' },
  ...{ isScheduled: true, isReady: true, readySinceMs: nowMs - 10 * minute, createdMs: nowMs - 11 * minute },
  ...{ restarts: 0, deletionCost: 0, isTerminating: false },
  ...more,
});

const status = (partitions: number, more: Partial<BrokerStatus> = {}): BrokerStatus => ({
  ...{ brokerId: 0, version: '0.1.0', ready: true, incarnation: 'x', cordoned: false, coordinatorShards: [] },
  ...{ objectStoreState: 'healthy', metadataStoreReachable: true, isController: false, draining: false },
  partitions: Array.from({ length: partitions }, (_, partition) => ({
    ...{ topic: 't', partition, leader: 0, state: 'open', logStartOffset: 0, logEndOffset: 0, highWatermark: 0 },
  })),
  ...more,
});

const three = [pod('a'), pod('b'), pod('c')];
const owning: Readonly<Record<string, BrokerStatus>> = { a: status(5), b: status(2), c: status(9) };

const step = (view: Partial<ScaleDownView> & { readonly statuses?: Readonly<Record<string, BrokerStatus>> }): Step => {
  const { statuses = owning, ...more } = view;
  return nextStep({
    ...{ wanted: 2, replicas: 3, isRollingOut: false, pods: three, nowMs, drainTimeoutMs: minute, isForced: false },
    statusOf: ({ name }) => statuses[name],
    ...more,
  });
};

const draining = { drainingSinceMs: nowMs - 1_000, deletionCost: -2_147_483_647 };
const drained = status(0, { cordoned: true, ready: false });

test('nothing is to be done where as many run as are wanted', () => {
  expect(step({ wanted: 3 })).toEqual({ type: 'nothing' });
});

test('whoever owns least is chosen, and of these the newest', () => {
  expect(step({})).toMatchObject({ type: 'mark', pod: { name: 'b' } });
  const pods = [pod('a'), pod('b', { createdMs: nowMs - 5 * minute }), pod('c')];
  expect(step({ pods, statuses: { a: status(1), b: status(1), c: status(1) } })).toMatchObject({ pod: { name: 'b' } });
});

test('one that is not ready is chosen, because Kubernetes takes it first whatever we want', () => {
  const pods = [pod('a'), pod('b'), pod('c', { isReady: false, readySinceMs: undefined })];
  expect(step({ pods })).toMatchObject({ type: 'mark', pod: { name: 'c' } });
});

test('the chosen one hands over until it owns nothing, then the count sinks by one', () => {
  const pods = [pod('a'), pod('b', draining), pod('c')];
  expect(step({ pods })).toMatchObject({ type: 'drain', pod: { name: 'b' } });
  const gone = [pod('a'), pod('b', { ...draining, isReady: false, readySinceMs: undefined }), pod('c')];
  expect(step({ wanted: 0, pods: gone, statuses: { ...owning, b: drained } })).toEqual({ type: 'lower', to: 2 });
});

test('owning nothing is not enough: a broker that may be given something again hands over once more', () => {
  const pods = [pod('a'), pod('b', draining), pod('c')];
  expect(step({ pods, statuses: { ...owning, b: status(0) } })).toMatchObject({ type: 'drain' });
});

test('a coordinator shard is something it owns', () => {
  const pods = [pod('a'), pod('b', draining), pod('c')];
  const statuses = { ...owning, b: status(0, { cordoned: true, coordinatorShards: [3] }) };
  expect(step({ pods, statuses })).toMatchObject({ type: 'drain' });
});

test('the count does not sink while Kubernetes would take another pod', () => {
  const pods = [pod('a', { deletionCost: -2_147_483_648 }), pod('b', draining), pod('c')];
  expect(step({ pods, statuses: { ...owning, b: drained } })).toMatchObject({ type: 'wait' });
});

test('a broker that stops being ready meanwhile takes the place of the chosen one', () => {
  const pods = [pod('a', { isReady: false, phase: 'Pending' }), pod('b', draining), pod('c')];
  expect(step({ pods, statuses: { ...owning, b: drained } })).toMatchObject({ type: 'release', pods: [{ name: 'b' }] });
});

test('nothing sinks while brokers are being replaced', () => {
  expect(step({ isRollingOut: true })).toMatchObject({ type: 'blocked', reason: 'RolloutRunning' });
});

test('one broker goes at a time', () => {
  expect(step({ pods: [...three, pod('d', { isTerminating: true })] })).toMatchObject({ type: 'wait' });
  expect(step({ pods: [...three, pod('d')] })).toMatchObject({ type: 'wait' });
});

test('of two marks the older one counts, as after an operator that died between two steps', () => {
  const pods = [pod('a', { drainingSinceMs: nowMs - 500 }), pod('b', draining), pod('c')];
  expect(step({ pods })).toMatchObject({ type: 'release', pods: [{ name: 'a' }] });
});

test('marks go when as many are wanted again', () => {
  const pods = [pod('a'), pod('b', draining), pod('c')];
  expect(step({ wanted: 3, pods })).toMatchObject({ type: 'release', pods: [{ name: 'b' }] });
});

test('marks stay until the pod is gone that the count no longer asks for', () => {
  const pods = [pod('a'), pod('b', draining), pod('c')];
  expect(step({ wanted: 2, replicas: 2, pods })).toMatchObject({ type: 'wait' });
  expect(step({ wanted: 3, replicas: 3, pods: [...pods, pod('d')], isRollingOut: true })).toMatchObject({
    type: 'release',
  });
});

describe('a broker that cannot hand over in time', () => {
  const late = [pod('a'), pod('b', { ...draining, drainingSinceMs: nowMs - 2 * minute }), pod('c')];

  test('may stay, and that is said', () => {
    expect(step({ pods: late })).toMatchObject({ type: 'release', pods: [{ name: 'b' }], because: 'DrainTimedOut' });
  });

  test('goes all the same when it is forced', () => {
    expect(step({ pods: late, isForced: true })).toEqual({ type: 'lower', to: 2 });
  });

  test('goes when it handed over in the last moment', () => {
    expect(step({ pods: late, statuses: { ...owning, b: drained } })).toEqual({ type: 'lower', to: 2 });
  });
});

describe('a broker whose control port does not answer', () => {
  const silent = { a: status(5), c: status(9) };

  test('is not chosen while it is ready', () => {
    expect(step({ statuses: silent })).toMatchObject({ type: 'mark', pod: { name: 'a' } });
    expect(step({ statuses: {} })).toMatchObject({ type: 'blocked', reason: 'BrokerNotAnswering' });
  });

  test('is waited for until its time is over, and then stays if it is ready', () => {
    const asked = [pod('a'), pod('b', draining), pod('c')];
    expect(step({ pods: asked, statuses: silent })).toMatchObject({ type: 'blocked', reason: 'BrokerNotAnswering' });
    const late = [pod('a'), pod('b', { ...draining, drainingSinceMs: nowMs - 2 * minute }), pod('c')];
    expect(step({ pods: late, statuses: silent })).toMatchObject({ type: 'release', because: 'BrokerNotAnswering' });
  });

  test('goes in the end when it is not ready either', () => {
    const since = nowMs - 2 * minute;
    const late = [pod('a'), pod('b', { ...draining, drainingSinceMs: since, isReady: false }), pod('c')];
    expect(step({ pods: late, statuses: silent })).toEqual({ type: 'lower', to: 2 });
  });
});

test('a pod that never started goes without a word', () => {
  const pods = [pod('a'), pod('b'), pod('c', { ...draining, phase: 'Pending', isReady: false })];
  expect(step({ pods, statuses: {} })).toEqual({ type: 'lower', to: 2 });
});

test('nothing is handed over when nobody could take it', () => {
  const pods = [pod('a', { isReady: false }), pod('b', draining)];
  expect(step({ wanted: 1, replicas: 2, pods })).toMatchObject({ type: 'blocked', reason: 'NoHeir' });
});

test('the last broker stores what it holds and goes', () => {
  const pods = [pod('b', draining)];
  expect(step({ wanted: 0, replicas: 1, pods })).toMatchObject({ type: 'lower', to: 0, flushFirst: { name: 'b' } });
});

test('pods that never came are not waited for', () => {
  expect(step({ wanted: 1, replicas: 5 })).toEqual({ type: 'lower', to: 3 });
  expect(step({ wanted: 4, replicas: 5 })).toEqual({ type: 'lower', to: 4 });
});

describe('the order in which a ReplicaSet takes pods away', () => {
  const names = (...pods: readonly BrokerPod[]) => inDeletionOrder(pods, nowMs).map(({ name }) => name);

  test.each<[string, Partial<BrokerPod>, Partial<BrokerPod>]>([
    ['without a node', { isScheduled: false }, { deletionCost: -5 }],
    ['pending', { phase: 'Pending' }, { isReady: false }],
    ['unknown', { phase: 'Unknown' }, { isReady: false }],
    ['not ready', { isReady: false }, { deletionCost: -5 }],
    ['of a lower cost', { deletionCost: -5 }, { readySinceMs: nowMs - 1 }],
    ['ready for less long', { readySinceMs: nowMs - minute }, { restarts: 9 }],
    ['of more restarts', { restarts: 1 }, { createdMs: nowMs - 1 }],
    ['newer', { createdMs: nowMs - minute }, {}],
  ])('first the one that is %s', (_, first, second) => {
    expect(names(pod('second', second), pod('first', first))).toEqual(['first', 'second']);
  });

  test('first one of those that share a node', () => {
    const shared = { node: 'n' };
    expect(names(pod('alone'), pod('one', shared), pod('two', shared))[0]).toBe('one');
  });

  test('ages that are about the same are the same', () => {
    const older = pod('older', { readySinceMs: nowMs - 100_000, createdMs: nowMs - 200_000 });
    const younger = pod('younger', { readySinceMs: nowMs - 99_000, createdMs: nowMs - 199_000 });
    expect(names(older, younger)).toEqual(['older', 'younger']);
  });
});
