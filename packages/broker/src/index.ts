export { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
export { crashingFailpoint, failpointNames, noFailpoint, type Failpoint } from './log/write/failpoint.ts';
