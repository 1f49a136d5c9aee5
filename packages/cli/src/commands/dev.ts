/** `kafscale dev`: a whole KafScale in one process, with embedded stores in a folder, until Ctrl-C. */
import { startBroker, type RunningBroker } from '@kafscale/broker';
import { brokerConfigSchema, type BrokerConfig } from '@kafscale/protocol';
import {
  boundHeap,
  ConfigError,
  createLogger,
  cryptoRandom,
  failStopOnUncaughtErrors,
  loadConfig,
  stopSignal,
  systemClock,
  type Logger,
} from '@kafscale/runtime';
import { resolve } from 'node:path';
import { byOption, explainConfigError, explainFailure, placeOf } from '../explain-failure.ts';
import { print, printError, styled } from '../output.ts';

export interface DevOptions {
  readonly port?: number;
  readonly metricsPort?: number;
  readonly dataDir?: string;
}

const localHost = '127.0.0.1';
/** A folder answers in microseconds: nothing is gained by collecting for as long as an object store in the cloud deserves. */
const flushIntervalMs = 2;

export async function dev(options: DevOptions): Promise<void> {
  boundHeap();
  const stop = stopSignal();
  const { config, unknownNames } = devConfig(options);
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  failStopOnUncaughtErrors(logger);
  for (const name of unknownNames) printError(`${name} is no setting of this version and changes nothing.`);

  const broker = await start(config, logger);
  print(readyText(broker, config));
  await stop;
  print('Stopping: requests in work are finished first. Ctrl-C again ends it at once.');
  await broker.close();
}

function devConfig({ port, metricsPort, dataDir }: DevOptions) {
  try {
    return loadConfig(brokerConfigSchema, {
      prefix: 'KAFSCALE_',
      overrides: {
        ...(port !== undefined && { kafkaAddress: `${localHost}:${port}` }),
        ...(metricsPort !== undefined && { metricsAddress: `${localHost}:${metricsPort}` }),
        ...(dataDir !== undefined && { dataDir }),
      },
      defaults: {
        kafkaAddress: `${localHost}:9092`,
        metricsAddress: `${localHost}:9093`,
        advertisedHost: localHost,
        flushIntervalMs,
        logLevel: 'warn',
        logFormat: process.stdout.isTTY ? 'pretty' : 'json',
      },
    });
  } catch (error) {
    throw error instanceof ConfigError ? explainConfigError(error) : error;
  }
}

async function start(config: BrokerConfig, logger: Logger): Promise<RunningBroker> {
  try {
    return await startBroker(config, { clock: systemClock, random: cryptoRandom, logger });
  } catch (error) {
    throw explainFailure(error, placeOf(config, byOption));
  }
}

function readyText({ host, port, metricsPort }: RunningBroker, { dataDir, metricsAddress }: BrokerConfig): string {
  const bootstrap = `${host}:${port}`;
  const metricsHost = metricsAddress.host ?? localHost;
  return [
    styled('bold', `KafScale is ready on ${bootstrap}`),
    '',
    `  bootstrap.servers=${bootstrap}`,
    '',
    `  metrics   http://${metricsHost}:${metricsPort}/metrics`,
    `  data      ${resolve(dataDir)}`,
    '',
    'Paste the first line into any Kafka client. Topics are created when they are first used.',
    `With kcat:  echo hello | kcat -b ${bootstrap} -P -t greetings && kcat -b ${bootstrap} -C -t greetings -e`,
    'Ctrl-C stops it; the data stays.',
  ].join('\n');
}
