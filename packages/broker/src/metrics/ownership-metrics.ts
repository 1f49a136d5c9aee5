/** What is counted of partitions and group shards that change owners, and of the controller that has them do so. */
import type { BrokerMetrics } from './metrics.ts';

/** In the order of an incarnation's ownerships. */
export const ownedKindNames = ['topic', 'group_shard'] as const;
export type OwnedKindName = (typeof ownedKindNames)[number];

/** Counts for one kind, as cluster/ownership.ts reports. */
export function ownershipMetrics(metrics: BrokerMetrics, kind: OwnedKindName) {
  const takeoverSeconds = metrics.takeoverDurationSeconds.labels({ kind });
  const handOverSeconds = metrics.handOverDurationSeconds.labels({ kind });
  return {
    opened: (
      opened: { readonly takenOver: number; readonly received: number; readonly all: number },
      tookMs: number,
    ) => {
      metrics.takeovers.inc({ kind }, opened.takenOver);
      metrics.handOvers.inc({ kind, direction: 'received' }, opened.received);
      for (let count = 0; count < opened.all; count += 1) takeoverSeconds.observe(tookMs / 1_000);
    },
    notOpened: (partitions: number) => metrics.openFailures.inc({ kind }, partitions),
    given: (partitions: number, tookMs: number) => {
      metrics.handOvers.inc({ kind, direction: 'given' }, partitions);
      for (let count = 0; count < partitions; count += 1) handOverSeconds.observe(tookMs / 1_000);
    },
    notGiven: (partitions: number) => metrics.handOverFailures.inc({ kind }, partitions),
  };
}

/** Counts for cluster/controller.ts. */
export function controllerMetrics(metrics: BrokerMetrics) {
  return {
    elected: () => metrics.controllerElections.inc(),
    assigned: (topics: number) => metrics.assignmentsWritten.inc(topics),
    failed: () => metrics.controllerFailures.inc(),
  };
}

interface Phases {
  readonly opening: number;
  readonly open: number;
  readonly leaving: number;
}

interface Census {
  readonly wanted: number;
  readonly unowned: number;
  readonly misplaced: number;
}

/** Sets the gauges of one kind. What concerns the whole cluster is the controller's to say, so that a sum counts it once. */
export function reportOwned(
  metrics: BrokerMetrics,
  kind: OwnedKindName,
  {
    phases,
    census,
    isController,
  }: { readonly phases: Phases; readonly census: Census; readonly isController: boolean },
): void {
  for (const phase of ['opening', 'open', 'leaving'] as const)
    metrics.ownedPartitions.set({ kind, phase }, phases[phase]);
  metrics.wantedPartitions.set({ kind }, census.wanted);
  metrics.unownedPartitions.set({ kind }, isController ? census.unowned : 0);
  metrics.misplacedPartitions.set({ kind }, isController ? census.misplaced : 0);
}

/** Between two lives a broker owns nothing and decides nothing. */
export function reportNothingOwned(metrics: BrokerMetrics): void {
  const nothing = {
    phases: { opening: 0, open: 0, leaving: 0 },
    census: { wanted: 0, unowned: 0, misplaced: 0 },
    isController: false,
  };
  for (const kind of ownedKindNames) reportOwned(metrics, kind, nothing);
  metrics.controllerActive.set(0);
}
