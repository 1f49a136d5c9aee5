/** How the snapshots of a managed etcd do: from their CronJob, its Jobs, and what the pod of the newest one wrote into its last words. */
import { z } from 'zod';
import type { ManagedEtcdSpec } from '../../api/cluster.ts';
import type { CronJob, Job, Pod, Stored } from '../../kube/index.ts';
import type { SnapshotState } from '../cluster/cluster-status.ts';

/** The last words of a pod that took a snapshot; `kafscale etcd-snapshot` writes them. */
const report = z.object({ key: z.string(), takenMs: z.int(), sizeBytes: z.int() });

export type SnapshotReport = z.output<typeof report>;

export interface SnapshotObservation {
  readonly nowMs: number;
  readonly settings: ManagedEtcdSpec['snapshots'];
  readonly cronJob: Stored<CronJob> | undefined;
  readonly jobs: readonly Stored<Job>[];
  readonly pods: readonly Stored<Pod>[];
  /** Of the status as it stands: pods go, the time of the last one stays. */
  readonly known: { readonly lastSnapshot?: string | undefined; readonly lastSnapshotTime?: string | undefined };
}

export interface SnapshotView {
  readonly state: SnapshotState;
  readonly lastSnapshot: string | undefined;
  readonly lastSuccessMs: number | undefined;
  readonly lastScheduleMs: number | undefined;
}

const secondMs = 1_000;

export function snapshotView(observation: SnapshotObservation): SnapshotView {
  const { settings, cronJob, jobs, nowMs, known } = observation;
  const newest = newestReport(observation.pods);
  const times = [cronJob?.status?.lastSuccessfulTime, known.lastSnapshotTime].flatMap(timeOf);
  const lastSuccessMs = [...times, ...(newest ? [newest.takenMs] : [])].sort((left, right) => right - left)[0];
  const failure = jobs
    .flatMap((job) => failureOf(job))
    .sort((left, right) => right.atMs - left.atMs)
    .find(({ atMs }) => atMs > (lastSuccessMs ?? 0));
  return {
    state: stateOf({ settings, nowMs, lastSuccessMs, failure }),
    lastSnapshot: newest?.key ?? known.lastSnapshot,
    lastSuccessMs,
    lastScheduleMs: timeOf(cronJob?.status?.lastScheduleTime)[0],
  };
}

function stateOf({
  settings,
  nowMs,
  lastSuccessMs,
  failure,
}: Pick<SnapshotObservation, 'settings' | 'nowMs'> & {
  readonly lastSuccessMs: number | undefined;
  readonly failure: { readonly message: string } | undefined;
}): SnapshotState {
  const paused = settings.suspend ? '; they are suspended' : '';
  if (failure !== undefined) return { reason: 'Failing', message: `the last attempt failed: ${failure.message}` };
  if (lastSuccessMs === undefined) return { reason: 'NeverTaken', message: `no snapshot was taken yet${paused}` };
  const taken = new Date(lastSuccessMs).toISOString();
  // No age in the message: it would be written anew with every look.
  return nowMs - lastSuccessMs > settings.staleAfterSeconds * secondMs
    ? { reason: 'Stale', message: `the newest snapshot is of ${taken}, older than it may be${paused}` }
    : { reason: 'Fresh', message: `the newest snapshot is of ${taken}` };
}

function newestReport(pods: readonly Stored<Pod>[]): SnapshotReport | undefined {
  return pods
    .flatMap(({ status }) => status?.containerStatuses ?? [])
    .flatMap(({ state }) => (state?.terminated?.exitCode === 0 ? parsed(state.terminated.message) : []))
    .sort((left, right) => right.takenMs - left.takenMs)[0];
}

function parsed(text: string | undefined): readonly SnapshotReport[] {
  try {
    const result = report.safeParse(JSON.parse(text ?? ''));
    return result.success ? [result.data] : [];
  } catch {
    return [];
  }
}

function failureOf({ status }: Stored<Job>): readonly { readonly atMs: number; readonly message: string }[] {
  const failed = status?.conditions?.find(({ type, status: is }) => type === 'Failed' && is === 'True');
  if (failed === undefined) return [];
  return timeOf(failed.lastTransitionTime).map((atMs) => ({ atMs, message: failed.message ?? failed.reason ?? '' }));
}

function timeOf(text: string | undefined): readonly number[] {
  const ms = text === undefined ? NaN : Date.parse(text);
  return Number.isNaN(ms) ? [] : [ms];
}
