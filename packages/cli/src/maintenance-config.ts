/** The settings of commands that work on a cluster's stores: those of its brokers, and `--data-dir` for the embedded ones. */
import { brokerConfigSchema, type BrokerConfig } from '@kafscale/protocol';
import { ConfigError, loadConfig } from '@kafscale/runtime';
import { byVariable, explainConfigError, explainFailure, placeOf } from './explain-failure.ts';
import { CommandError } from './output.ts';

/** Errors whose message tells what to do next. */
const plainErrors: ReadonlySet<string> = new Set(['RebuildRefused', 'RestoreRefused', 'SourceFault', 'DecodeError']);

/** Throws CommandError with every fault. */
export function maintenanceConfig({ dataDir }: { readonly dataDir?: string }): BrokerConfig {
  try {
    const overrides = dataDir === undefined ? {} : { dataDir };
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
