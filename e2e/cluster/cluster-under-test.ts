/**
 * A whole cluster of real processes: etcd, an object store and brokers run by `kafscale broker`, each of which can be killed, drained, paused
 * and started again on its port. Everything is on 127.0.0.1 and gone at the end.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ChildServer,
  EtcdServer,
  freePort,
  repositoryFolder,
  startMinio,
  type EtcdServerSettings,
  type S3Server,
  type S3ServerSettings,
} from '@kafscale/testkit';

export interface ClusterSettings {
  readonly brokers: number;
  readonly etcd?: EtcdServerSettings;
  /** MinIO unless set. */
  readonly startS3?: (settings: S3ServerSettings) => Promise<S3Server>;
  /** For every broker. */
  readonly env?: Readonly<Record<string, string>>;
}

export type Variables = Readonly<Record<string, string>>;

const bucket = 'records';
const host = '127.0.0.1';

/** One broker with its id and port, running or not. */
export class BrokerUnderTest {
  readonly brokerId: number;
  readonly port: number;
  readonly metricsPort: number;
  readonly logFile: string;
  readonly #env: Variables;
  #process: ChildServer | undefined;

  constructor(
    brokerId: number,
    ports: { readonly port: number; readonly metricsPort: number },
    folder: string,
    env: Variables,
  ) {
    this.brokerId = brokerId;
    this.port = ports.port;
    this.metricsPort = ports.metricsPort;
    this.logFile = join(folder, `broker-${brokerId}-${ports.port}.log`);
    this.#env = env;
  }

  /** Resolves when it serves; rejects with what it said when it does not come to that. */
  async start(env: Variables = {}): Promise<void> {
    this.#process = await ChildServer.start({
      name: `broker ${this.brokerId}`,
      program: process.execPath,
      args: [join(repositoryFolder(), 'packages/cli/bin/kafscale.js'), 'broker'],
      env: {
        ...this.#env,
        KAFSCALE_BROKER_ID: String(this.brokerId),
        KAFSCALE_BROKER_ADDR: `${host}:${this.port}`,
        KAFSCALE_BROKER_HOST: host,
        KAFSCALE_METRICS_ADDR: `${host}:${this.metricsPort}`,
        ...env,
      },
      logFile: this.logFile,
      ready: /"msg":"ready"/,
    });
  }

  get process(): ChildServer {
    if (this.#process === undefined) throw new Error(`broker ${this.brokerId} was not started`);
    return this.#process;
  }

  get running(): boolean {
    return this.#process?.running === true;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** SIGTERM, and waits until it has ended by itself. Answers how long that took, milliseconds. */
  async drain(): Promise<number> {
    const startedMs = performance.now();
    await this.process.stop(60_000);
    return performance.now() - startedMs;
  }

  /** A metric's samples as text, for what no client can see. */
  async metrics(): Promise<string> {
    return (await fetch(`http://${host}:${this.metricsPort}/metrics`)).text();
  }

  log(): Promise<string> {
    return readFile(this.logFile, 'utf8');
  }
}

export class ClusterUnderTest {
  readonly etcd: EtcdServer;
  readonly s3: S3Server;
  readonly brokers: BrokerUnderTest[] = [];
  /** Where the brokers' logs are. */
  readonly folder: string;
  readonly #env: Variables;

  private constructor(etcd: EtcdServer, s3: S3Server, folder: string, env: Variables) {
    this.etcd = etcd;
    this.s3 = s3;
    this.folder = folder;
    this.#env = env;
  }

  /** Resolves when every broker serves. */
  static async start({
    brokers,
    etcd: etcdSettings = {},
    startS3 = startMinio,
    env = {},
  }: ClusterSettings): Promise<ClusterUnderTest> {
    const folder = await mkdtemp(join(tmpdir(), 'kafscale-cluster-'));
    const etcd = await EtcdServer.start({ durable: false, ...etcdSettings });
    const s3 = await startS3({ buckets: [bucket] }).catch(async (error: unknown) => {
      await etcd.close();
      throw error;
    });
    const cluster = new ClusterUnderTest(etcd, s3, folder, env);
    try {
      await Promise.all(Array.from({ length: brokers }, async () => (await cluster.addBroker()).start()));
    } catch (error) {
      await cluster.close();
      throw error;
    }
    return cluster;
  }

  /** The stores' variables, as a broker of this cluster gets them. */
  get variables(): Variables {
    const { etcd, s3 } = this;
    return {
      KAFSCALE_ETCD_ENDPOINTS: etcd.endpoints.map((endpoint) => `http://${endpoint}`).join(','),
      KAFSCALE_S3_ENDPOINT: s3.endpoint,
      KAFSCALE_S3_BUCKET: bucket,
      KAFSCALE_S3_REGION: s3.region,
      KAFSCALE_S3_ACCESS_KEY: s3.accessKey,
      KAFSCALE_S3_SECRET_KEY: s3.secretKey,
      ...this.#env,
    };
  }

  /** Another broker, with the next id unless given one; not started. */
  async addBroker(brokerId = this.brokers.length, env: Variables = {}): Promise<BrokerUnderTest> {
    const slot = this.brokers.length;
    // Its place is taken at once, since several may be added together.
    const ports = Promise.all([freePort(), freePort()]);
    this.brokers.length = slot + 1;
    const [port, metricsPort] = await ports;
    const broker = new BrokerUnderTest(brokerId, { port, metricsPort }, this.folder, { ...this.variables, ...env });
    this.brokers[slot] = broker;
    return broker;
  }

  get running(): BrokerUnderTest[] {
    return this.brokers.filter(({ running }) => running);
  }

  broker(brokerId: number): BrokerUnderTest {
    const found = this.brokers.find((broker) => broker.brokerId === brokerId);
    if (found === undefined) throw new Error(`there is no broker ${brokerId}`);
    return found;
  }

  /** Every broker's address, running or not, as a client's configuration has them. */
  get bootstrap(): string {
    return this.brokers.map(({ port }) => `${host}:${port}`).join(',');
  }

  /** Ends everything and removes all data; the brokers' logs stay with `KAFSCALE_KEEP_LOGS=1`. */
  async close(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.kill()));
    await Promise.all([this.s3.close(), this.etcd.close()]);
    if (process.env['KAFSCALE_KEEP_LOGS'] !== '1') await rm(this.folder, { recursive: true, force: true });
  }
}
