/** The operator: turns KafScaleCluster and KafScaleTopic resources into what runs, and keeps it so. */
export { customResourceDefinitions } from './api/crd.ts';
export { migrateManifest, type MigratedManifest } from './api/migration.ts';
export { ControlCallError, ControlClients, type ControlClient } from './brokers/control-client.ts';
export { LoadReports, type BrokerLoad } from './brokers/load-reports.ts';
export { MetricsServer } from './brokers/metrics-server.ts';
export { KafkaAdmin } from './brokers/kafka-admin.ts';
