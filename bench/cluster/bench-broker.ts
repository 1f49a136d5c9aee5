/** One broker process on real etcd and the latency store, and what each of the three has done so far. */
import { ChildServer, EtcdServer, freePort, repositoryFolder } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LatencyStore } from '../latency-store/latency-store.ts';

/** Counters at one moment; differences are what a measurement shows. */
export interface Reading {
  readonly atMs: number;
  readonly puts: number;
  readonly etcdWrites: number;
  readonly cpuSeconds: number;
  readonly commits: number;
  readonly commitSeconds: number;
}

export class BenchBroker {
  readonly port: number;
  readonly etcd: EtcdServer;
  readonly store: LatencyStore;
  readonly #metricsPort: number;
  readonly #folder: string;
  #process: ChildServer | undefined;

  private constructor(parts: {
    port: number;
    metricsPort: number;
    etcd: EtcdServer;
    store: LatencyStore;
    folder: string;
  }) {
    this.port = parts.port;
    this.#metricsPort = parts.metricsPort;
    this.etcd = parts.etcd;
    this.store = parts.store;
    this.#folder = parts.folder;
  }

  static async start(): Promise<BenchBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'kafscale-bench-'));
    const etcd = await EtcdServer.start({ quotaBytes: 2 ** 31 });
    const store = await LatencyStore.start(folder);
    const broker = new BenchBroker({ port: await freePort(), metricsPort: await freePort(), etcd, store, folder });
    await broker.startProcess().catch(async (error: unknown) => {
      await broker.close();
      throw error;
    });
    return broker;
  }

  async startProcess(): Promise<void> {
    const host = '127.0.0.1';
    this.#process = await ChildServer.start({
      name: 'the broker',
      program: process.execPath,
      args: [join(repositoryFolder(), 'packages/cli/bin/kafscale.js'), 'broker'],
      env: {
        KAFSCALE_BROKER_ADDR: `${host}:${this.port}`,
        KAFSCALE_BROKER_HOST: host,
        KAFSCALE_METRICS_ADDR: `${host}:${this.#metricsPort}`,
        KAFSCALE_ETCD_ENDPOINTS: `http://${this.etcd.endpoints[0]!}`,
        KAFSCALE_S3_ENDPOINT: this.store.endpoint,
        KAFSCALE_S3_BUCKET: 'bench',
        KAFSCALE_S3_ACCESS_KEY: 'key',
        KAFSCALE_S3_SECRET_KEY: 'secret',
      },
      logFile: join(this.#folder, 'broker.log'),
      ready: /"msg":"ready"/,
    });
  }

  get process(): ChildServer {
    return this.#process!;
  }

  async read(): Promise<Reading> {
    const [{ puts }, metrics, status] = await Promise.all([
      this.store.counts(),
      fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`).then((answer) => answer.text()),
      this.etcd.etcdctl('endpoint', 'status', '--write-out=json'),
    ]);
    const sample = (name: string): number =>
      Number(new RegExp(`^${name}(?:\\{\\})? (\\S+)$`, 'm').exec(metrics)?.[1] ?? NaN);
    const [{ Status }] = JSON.parse(status) as [{ Status: { header: { revision: number } } }];
    return {
      atMs: performance.now(),
      puts,
      etcdWrites: Status.header.revision,
      cpuSeconds: this.process.cpuSeconds(),
      commits: sample('kafscale_commit_duration_seconds_count'),
      commitSeconds: sample('kafscale_commit_duration_seconds_sum'),
    };
  }

  async close(): Promise<void> {
    await this.#process?.kill();
    await this.store.close();
    await this.etcd.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
