import type { CronJob, Job, Pod, Stored } from '../../kube/index.ts';
import { snapshotView, type SnapshotObservation } from './snapshot-state.ts';

const nowMs = Date.UTC(2026, 1, 3, 12);
const at = (minutesAgo: number) => new Date(nowMs - minutesAgo * 60_000).toISOString();
const metadata = { name: 'x', uid: 'u', resourceVersion: '1' };

const cronJob = (minutesAgo: number | undefined): Stored<CronJob> => ({
  metadata,
  status: { lastScheduleTime: at(3), ...(minutesAgo !== undefined && { lastSuccessfulTime: at(minutesAgo) }) },
});

const failedJob = (minutesAgo: number): Stored<Job> => ({
  metadata,
  status: {
    conditions: [{ type: 'Failed', status: 'True', lastTransitionTime: at(minutesAgo), message: 'no bucket' }],
  },
});

const podThatSaid = (message: string, exitCode = 0): Stored<Pod> =>
  ({ metadata, status: { containerStatuses: [{ state: { terminated: { exitCode, message } } }] } }) as never;

const view = (change: Partial<SnapshotObservation>) =>
  snapshotView({
    ...{ nowMs, cronJob: undefined, jobs: [], pods: [], known: {} },
    settings: { schedule: '0 * * * *', keep: 48, staleAfterSeconds: 7_200, suspend: false },
    ...change,
  });

test.each<[string, Partial<SnapshotObservation>, string]>([
  ['before the first', { cronJob: cronJob(undefined) }, 'NeverTaken'],
  ['after one', { cronJob: cronJob(60) }, 'Fresh'],
  ['when none came for long', { cronJob: cronJob(121) }, 'Stale'],
  ['when the attempt after it failed', { cronJob: cronJob(60), jobs: [failedJob(10)] }, 'Failing'],
  ['when an attempt before it failed', { cronJob: cronJob(60), jobs: [failedJob(70)] }, 'Fresh'],
  ['when the first attempt failed', { cronJob: cronJob(undefined), jobs: [failedJob(1)] }, 'Failing'],
  ['when the CronJob was made anew', { known: { lastSnapshotTime: at(30) } }, 'Fresh'],
])('%s it is so', (_, change, reason) => {
  expect(view(change).state.reason).toBe(reason);
});

test('the key is what the pod said that took it, and is remembered when the pod is gone', () => {
  const said = JSON.stringify({ key: 'etcd-snapshots/a/snapshot.json', takenMs: nowMs - 1_000, sizeBytes: 5 });
  expect(view({ pods: [podThatSaid(said), podThatSaid('killed', 1), podThatSaid('{}')] })).toMatchObject({
    ...{ lastSnapshot: 'etcd-snapshots/a/snapshot.json', lastSuccessMs: nowMs - 1_000 },
  });
  expect(view({ pods: [podThatSaid(said, 1)], known: { lastSnapshot: 'older' } }).lastSnapshot).toBe('older');
});

test('what is said does not change from look to look', () => {
  const first = view({ cronJob: cronJob(60) }).state;
  expect(view({ cronJob: cronJob(60), nowMs: nowMs + 60_000 }).state).toEqual(first);
});
