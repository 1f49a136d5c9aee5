export { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
export { metricDefinitions, type MetricDefinition } from './metrics/metric-definitions.ts';
