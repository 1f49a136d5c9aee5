/** The settings of commands that work on a cluster's stores: those of its brokers, and `--data-dir` for the embedded ones. */
import { brokerConfigSchema, type BrokerConfig } from '@kafscale/protocol';
import { ConfigError, loadConfig } from '@kafscale/runtime';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { byVariable, explainConfigError, explainFailure, placeOf } from './explain-failure.ts';
import { CommandError } from './output.ts';

/** Errors whose message tells what to do next. */
const plainErrors: ReadonlySet<string> = new Set([
  ...['RebuildRefused', 'RestoreRefused', 'SourceFault', 'DecodeError'],
  ...['SnapshotFault', 'EtcdCallError'],
]);

/** `needs` is the embedded store that has to be there already. Throws CommandError with every fault. */
export function maintenanceConfig(
  { dataDir }: { readonly dataDir?: string },
  needs: 'metadata' | 'objects',
): BrokerConfig {
  const config = loadedConfig(dataDir === undefined ? {} : { dataDir });
  const folder = join(resolve(config.dataDir), needs);
  const isEmbedded = needs === 'metadata' ? config.etcdEndpoints === undefined : config.s3Bucket === undefined;
  if (!isEmbedded || existsSync(folder)) return config;
  throw new CommandError(
    `There is no ${folder}. Name the folder of the embedded stores with --data-dir, or the cluster's stores with KAFSCALE_ETCD_ENDPOINTS and KAFSCALE_S3_BUCKET.`,
  );
}

/** Of the bucket, for commands to which etcd is named otherwise. Throws CommandError with every fault. */
export function bucketConfig(etcdEndpoints: readonly string[]): BrokerConfig {
  const config = loadedConfig({ etcdEndpoints });
  if (config.s3Bucket !== undefined) return config;
  throw new CommandError('Name the bucket with KAFSCALE_S3_BUCKET.');
}

function loadedConfig(overrides: Readonly<Record<string, unknown>>): BrokerConfig {
  try {
    return loadConfig(brokerConfigSchema, { prefix: 'KAFSCALE_', overrides }).config;
  } catch (error) {
    throw error instanceof ConfigError ? explainConfigError(error) : error;
  }
}

/** Runs `work`; what a user can do something about is thrown as a CommandError. */
export async function explained<Result>(config: BrokerConfig, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && plainErrors.has(error.name)) throw new CommandError(error.message, { cause: error });
    throw explainFailure(error, placeOf(config, byVariable));
  }
}
