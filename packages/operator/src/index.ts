/** The operator: turns KafScaleCluster and KafScaleTopic resources into what runs, and keeps it so. */
export { customResourceDefinitions } from './api/crd.ts';
export { migrateManifest, type MigratedManifest } from './api/migration.ts';
