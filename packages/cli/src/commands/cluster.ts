/**
 * `kafscale cluster`: a whole cluster on this machine to try out, until Ctrl-C: etcd, MinIO and some brokers as processes of their
 * own, or with `--stores embedded` the brokers alone in this one. It ends what it started and nothing else.
 */
import { startEmbeddedCluster } from '@kafscale/broker';
import { brokerConfigSchema } from '@kafscale/protocol';
import {
  ConfigError,
  createLogger,
  cryptoRandom,
  failStopOnUncaughtErrors,
  freePort,
  loadConfig,
  stopSignal,
  systemClock,
  type ChildServer,
} from '@kafscale/runtime';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { startBrokerProcess } from '../cluster/broker-process.ts';
import { lockFolder } from '../cluster/folder-lock.ts';
import { startLocalStores, storeVariables, type LocalStores } from '../cluster/local-stores.ts';
import { findStorePrograms } from '../cluster/store-programs.ts';
import { byOption, explainConfigError, explainFailure, placeOf } from '../explain-failure.ts';
import { CommandError, print, styled } from '../output.ts';
import { withProgress } from '../progress.ts';

export interface ClusterOptions {
  readonly brokers: number;
  readonly port: number;
  readonly dataDir: string;
  readonly stores: 'processes' | 'embedded';
}

const host = '127.0.0.1';
/** From a broker's Kafka port to the port of its metrics. */
const metricsPortOffset = 100;
const brokerStopMs = 60_000;

interface BrokerPlace {
  readonly brokerId: number;
  readonly port: number;
  readonly metricsPort: number;
}

interface RunningCluster {
  /** A line for each part of it. */
  readonly parts: readonly string[];
  /** What to try on it. */
  readonly tryThis?: string;
  close(): Promise<void>;
}

export async function cluster(options: ClusterOptions): Promise<void> {
  const folder = resolve(options.dataDir);
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw new CommandError(`Cannot use ${folder}. Choose another folder with --data-dir.`, { cause: error });
  });
  const unlock = lockFolder(folder);
  const stop = stopSignal();
  // The processes have groups of their own, so a terminal that closes would leave them behind.
  process.on('SIGHUP', () => process.emit('SIGTERM'));
  try {
    const places = await brokerPlaces(options);
    const start = options.stores === 'embedded' ? startEmbedded : startProcesses;
    const running = await start(places, folder);
    print(readyText(places, running, folder));
    await stop;
    print(
      'Stopping: the brokers hand over and finish what they have, then the stores end. Ctrl-C again ends it all at once.',
    );
    await running.close();
  } finally {
    unlock();
  }
}

async function brokerPlaces({ brokers, port }: ClusterOptions): Promise<BrokerPlace[]> {
  const places: BrokerPlace[] = [];
  for (let brokerId = 0; brokerId < brokers; brokerId += 1) {
    const kafkaPort = port === 0 ? await freePort() : port + brokerId;
    places.push({
      brokerId,
      port: kafkaPort,
      metricsPort: port === 0 ? await freePort() : kafkaPort + metricsPortOffset,
    });
  }
  return places;
}

async function startProcesses(places: readonly BrokerPlace[], folder: string): Promise<RunningCluster> {
  const programs = await findStorePrograms();
  const stores = await said(
    () => withProgress('Starting etcd and MinIO', () => startLocalStores(folder, programs), systemClock),
    `Their logs are etcd.log and minio.log in ${folder}.`,
  );
  const env = storeVariables(stores);
  const brokers: ChildServer[] = [];
  try {
    for (const place of places) {
      const starting = (): Promise<ChildServer> => startBrokerProcess({ ...place, folder, env });
      const broker = await said(
        () => withProgress(`Starting broker ${place.brokerId}`, starting, systemClock),
        `Its whole log is ${join(folder, `broker-${place.brokerId}.log`)}. Is port ${place.port} or ${place.metricsPort} taken? --port chooses others.`,
      );
      brokers.push(broker);
    }
  } catch (error) {
    await endAll(brokers, stores);
    throw error;
  }
  let stopping = false;
  for (const [index, broker] of brokers.entries()) {
    void broker.ended().then(() => {
      if (!stopping) print(`Broker ${places[index]!.brokerId} has ended; the others take its partitions over.`);
    });
  }
  return {
    parts: [
      ...places.map((place, index) => `${brokerLine(place)}   pid ${brokers[index]!.pid}`),
      `etcd        ${stores.etcdEndpoint}   pid ${stores.etcd.pid}`,
      `MinIO       ${stores.s3Endpoint}   pid ${stores.minio.pid}, bucket ${stores.bucket}, key ${stores.accessKey}, secret ${stores.secretKey}`,
    ],
    tryThis: `See one die:  kill -9 ${brokers.at(-1)!.pid}   (its partitions are writable elsewhere some 10 s later, nothing is lost)`,
    close: () => {
      stopping = true;
      return endAll(brokers, stores);
    },
  };
}

/** The brokers first: what they still have to say goes to the stores. */
async function endAll(brokers: readonly ChildServer[], stores: LocalStores): Promise<void> {
  await Promise.all(brokers.filter(({ running }) => running).map((broker) => broker.stop(brokerStopMs)));
  await stores.minio.stop();
  await stores.etcd.stop();
}

async function startEmbedded(places: readonly BrokerPlace[], folder: string): Promise<RunningCluster> {
  const configs = places.map(({ brokerId, port, metricsPort }) => {
    const overrides = {
      brokerId,
      kafkaAddress: `${host}:${port}`,
      metricsAddress: `${host}:${metricsPort}`,
      advertisedHost: host,
      dataDir: folder,
    };
    return brokerSettings(overrides);
  });
  const { logLevel, logFormat } = configs[0]!;
  const logger = createLogger({ level: logLevel, format: logFormat });
  failStopOnUncaughtErrors(logger);
  const starting = () => startEmbeddedCluster(configs, { clock: systemClock, random: cryptoRandom, logger });
  try {
    const running = await withProgress(`Starting ${places.length} brokers`, starting, systemClock);
    return { parts: places.map(brokerLine), close: () => running.close() };
  } catch (error) {
    throw explainFailure(error, placeOf(configs[0]!, byOption));
  }
}

function brokerSettings(overrides: Readonly<Record<string, unknown>>) {
  try {
    const logFormat = process.stdout.isTTY ? 'pretty' : 'json';
    const defaults = { logLevel: 'warn', logFormat, flushIntervalMs: 2 };
    return loadConfig(brokerConfigSchema, { overrides, defaults }).config;
  } catch (error) {
    throw error instanceof ConfigError ? explainConfigError(error) : error;
  }
}

/** What a server that did not start has said is the message, and `hint` is where to read on. */
async function said<Result>(work: () => Promise<Result>, hint: string): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw new CommandError(`${error instanceof Error ? error.message.trimEnd() : String(error)}\n\n${hint}`, {
      cause: error,
    });
  }
}

const brokerLine = ({ brokerId, port, metricsPort }: BrokerPlace): string =>
  `broker ${brokerId}    ${host}:${port}   metrics http://${host}:${metricsPort}/metrics`;

function readyText(places: readonly BrokerPlace[], { parts, tryThis }: RunningCluster, folder: string): string {
  const bootstrap = places.map(({ port }) => `${host}:${port}`).join(',');
  const count = places.length === 1 ? 'one broker' : `${places.length} brokers`;
  return [
    styled('bold', `A cluster of ${count} is ready`),
    '',
    `  bootstrap.servers=${bootstrap}`,
    '',
    ...parts.map((line) => `  ${line}`),
    `  data, logs  ${folder}`,
    '',
    'Paste the first line into any Kafka client. Topics are created when they are first used.',
    `With kcat:    echo hello | kcat -b ${bootstrap} -P -t greetings && kcat -b ${bootstrap} -C -t greetings -e`,
    ...(tryThis === undefined ? [] : [tryThis]),
    'Ctrl-C stops all of it; the data stays.',
  ].join('\n');
}
