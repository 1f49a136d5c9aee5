/**
 * `kafscale broker`: one broker of a cluster, set up by `KAFSCALE_…` variables alone, as containers run it. Logs are JSON; SIGTERM
 * hands its partitions to the others before it ends, a second signal ends it at once.
 */
import { startBroker } from '@kafscale/broker';
import { brokerConfigSchema, type BrokerConfig } from '@kafscale/protocol';
import {
  boundHeap,
  ConfigError,
  createLogger,
  cryptoRandom,
  failStopOnUncaughtErrors,
  loadConfig,
  settlesWithin,
  stopSignal,
  systemClock,
} from '@kafscale/runtime';
import { resolve } from 'node:path';
import { byVariable, explainConfigError, explainFailure, placeOf } from '../explain-failure.ts';

/** Variables of the command and of tests, which are no settings of a broker. */
const otherVariables = /^KAFSCALE_(CACHE|SEED|TEST_|E2E_)/;
/** A broker that is stopped before it could serve owes nobody anything; its session ends by itself if this is not enough. */
const abandonStartMs = 5_000;

export async function broker(): Promise<void> {
  boundHeap();
  const stop = stopSignal();
  const { config, unknownNames } = brokerConfig();
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  failStopOnUncaughtErrors(logger);
  const unknown = unknownNames.filter((name) => !otherVariables.test(name));
  if (unknown.length > 0) logger.warn({ names: unknown }, 'variables that are no setting of this version');
  logger.info(describeStores(config), 'starting');

  const starting = startBroker(config, { clock: systemClock, random: cryptoRandom, logger });
  starting.catch(() => undefined); // whoever waits for it below hears of it
  try {
    const asked = await Promise.race([starting.then(() => undefined), stop]);
    if (asked !== undefined) logger.info({ signal: asked }, 'stopping before it could serve');
    if (asked !== undefined && !(await settlesWithin(systemClock, abandonStartMs, starting))) return;
  } catch (error) {
    throw explainFailure(error, placeOf(config, byVariable));
  }

  const running = await starting;
  const { host, port, metricsPort, brokerId, clusterId } = running;
  logger.info({ brokerId, clusterId, advertised: `${host}:${port}`, metricsPort }, 'ready');
  const ended = await Promise.race([stop, running.failed]);
  if (ended instanceof Error) {
    await running.close();
    throw explainFailure(ended, placeOf(config, byVariable));
  }
  logger.info(
    { signal: ended },
    'stopping: hands its partitions over and finishes requests in work; a second signal ends it at once',
  );
  await running.close();
  logger.info('stopped');
}

/** Throws CommandError with every fault. `env` is the process's own unless given. */
export function brokerConfig(env?: Readonly<Record<string, string>>) {
  try {
    const loaded = loadConfig(brokerConfigSchema, { prefix: 'KAFSCALE_', ...(env && { env }) });
    const faults = storeFaults(loaded.config);
    if (faults.length > 0) throw new ConfigError(faults);
    return loaded;
  } catch (error) {
    throw error instanceof ConfigError ? explainConfigError(error) : error;
  }
}

/** Without the least word about stores it would start on an empty folder of its container, which nobody wants. */
function storeFaults({ s3Bucket, etcdEndpoints, dataDir }: BrokerConfig): string[] {
  const isFolderChosen = dataDir !== brokerConfigSchema.shape.dataDir.parse(undefined);
  if (s3Bucket !== undefined || etcdEndpoints !== undefined || isFolderChosen) return [];
  return [
    'KAFSCALE_ETCD_ENDPOINTS: missing; a broker of a cluster keeps its metadata in etcd',
    'KAFSCALE_S3_BUCKET: missing; a broker of a cluster keeps its records in a bucket (for one broker without either, set KAFSCALE_DATA_DIR or run `kafscale dev`)',
  ];
}

function describeStores({ s3Bucket, s3Endpoint, s3Region, etcdEndpoints, clusterName, dataDir }: BrokerConfig) {
  if (etcdEndpoints === undefined) return { dataDir: resolve(dataDir) };
  return { cluster: clusterName, etcd: etcdEndpoints, bucket: s3Bucket, endpoint: s3Endpoint, region: s3Region };
}
