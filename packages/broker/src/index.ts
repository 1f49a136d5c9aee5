export { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
export { startEmbeddedCluster, type EmbeddedCluster } from './embedded-cluster.ts';
export { metricDefinitions, type MetricDefinition } from './metrics/metric-definitions.ts';
export { createMetrics } from './metrics/metrics.ts';
export { openBucket, openStores, type Stores } from './open-stores.ts';
export {
  rebuildStores,
  restoreFromStores,
  verifyStores,
  type MaintenanceDependencies,
  type RebuildOptions,
} from './maintenance.ts';
export { type RebuildPlan, type RebuildSummary } from './keeper/rebuild/rebuild-plan.ts';
export { type RestoreProgress, type RestoreReport, type RestoreRequest } from './keeper/restore/restore-topic.ts';
export { type Finding, type FindingKind } from './keeper/verify/findings.ts';
export { type VerifyOptions, type VerifyProgress, type VerifyReport } from './keeper/verify/verifier.ts';
