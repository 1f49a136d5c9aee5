/** The operator: turns KafScaleCluster and KafScaleTopic resources into what runs, and keeps it so. */
export { customResourceDefinitions } from './api/crd.ts';
export { migrateManifest, type MigratedManifest } from './api/migration.ts';
export { ControlCallError, ControlClients, type ControlClient } from './brokers/control-client.ts';
export { LoadReports, type BrokerLoad } from './brokers/load-reports.ts';
export { MetricsServer } from './brokers/metrics-server.ts';
export { KafkaAdmin } from './brokers/kafka-admin.ts';
export { connectEtcd, EtcdCallError } from './etcd/etcd-client.ts';
export { fetchSnapshot } from './etcd/fetch-snapshot.ts';
export { listenUrls, memberPlanSchema, memberPodSchema } from './etcd/member-plan.ts';
export { MemberNotReady, prepareMember } from './etcd/prepare-member.ts';
export { SnapshotFault, snapshotsPrefix } from './etcd/snapshot-catalog.ts';
export { takeSnapshot, type TakenSnapshot } from './etcd/take-snapshot.ts';
export { ManagedEtcd } from './reconcile/etcd/managed-etcd.ts';
