/** Apache Kafka itself, from Maven: one KRaft node with its own defaults, to prove tests against and to measure beside. */
import { ChildServer, freePort, runProgram } from '@kafscale/runtime';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mavenClasspath } from './maven-classpath.ts';

export const newestKafkaVersion = '4.3.1';

/** The broker and the command line tools, with the logging that the distribution has. */
export async function kafkaClasspath(): Promise<string> {
  return mavenClasspath(`kafka-${newestKafkaVersion}`, [
    `org.apache.kafka:kafka_2.13:${newestKafkaVersion}`,
    `org.apache.kafka:kafka-tools:${newestKafkaVersion}`,
    'org.apache.logging.log4j:log4j-slf4j-impl:2.25.4',
  ]);
}

/** What the distribution's start script gives the JVM. */
const jvmSettings = [
  '-Xmx1G',
  '-Xms1G',
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-Djava.awt.headless=true',
];

const logging = `status = ERROR
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = INFO
`;

export interface KafkaServerSettings {
  /** Where its logs and configuration go; a temporary folder, removed at the end, when left out. */
  readonly folder?: string;
  /** Broker settings by Kafka's names, over the defaults. */
  readonly properties?: Readonly<Record<string, string>>;
}

export class KafkaServer {
  readonly bootstrap: string;
  readonly port: number;
  #process: ChildServer;
  readonly #start: () => Promise<ChildServer>;
  readonly #remove: () => Promise<void>;

  private constructor(
    port: number,
    process: ChildServer,
    start: () => Promise<ChildServer>,
    remove: () => Promise<void>,
  ) {
    this.port = port;
    this.bootstrap = `127.0.0.1:${port}`;
    this.#process = process;
    this.#start = start;
    this.#remove = remove;
  }

  static async start({ folder, properties = {} }: KafkaServerSettings = {}): Promise<KafkaServer> {
    const home = folder ?? (await mkdtemp(join(tmpdir(), 'kafka-')));
    await mkdir(home, { recursive: true });
    const [classpath, port, controllerPort] = await Promise.all([kafkaClasspath(), freePort(), freePort()]);
    const settings = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': join(home, 'logs'),
      // One node alone cannot hold the three replicas that these default to.
      'offsets.topic.replication.factor': '1',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'share.coordinator.state.topic.replication.factor': '1',
      'share.coordinator.state.topic.min.isr': '1',
      ...properties,
    };
    const propertiesFile = join(home, 'server.properties');
    const loggingFile = join(home, 'log4j2.properties');
    await writeFile(loggingFile, logging);
    await writeFile(
      propertiesFile,
      Object.entries(settings)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
    const java = ['-cp', classpath, `-Dlog4j2.configurationFile=${loggingFile}`];
    await runProgram('java', [...java, 'kafka.tools.StorageTool', 'random-uuid']).then((clusterId) =>
      runProgram('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', clusterId.trim(), '-c', propertiesFile]),
    );
    const start = (): Promise<ChildServer> =>
      ChildServer.start({
        name: 'Apache Kafka',
        program: 'java',
        args: [...jvmSettings, ...java, 'kafka.Kafka', propertiesFile],
        logFile: join(home, 'kafka.log'),
        ready: /Kafka Server started/,
      });
    const remove = async (): Promise<void> => {
      if (folder === undefined) await rm(home, { recursive: true, force: true });
    };
    return new KafkaServer(port, await start(), start, remove);
  }

  get process(): ChildServer {
    return this.#process;
  }

  /** `kill -9`; what it had written stays. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Starts again on the same port and folder, after `kill`. */
  async restart(): Promise<void> {
    this.#process = await this.#start();
  }

  /** Stops it and removes its temporary folder. */
  async close(): Promise<void> {
    await this.#process.kill();
    await this.#remove();
  }
}
