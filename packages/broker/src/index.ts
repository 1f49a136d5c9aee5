export { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
export { startEmbeddedCluster, type EmbeddedCluster } from './embedded-cluster.ts';
export { metricDefinitions, type MetricDefinition } from './metrics/metric-definitions.ts';
