export { startBroker, type BrokerDependencies, type RunningBroker } from './broker.ts';
