/** One broker process on real etcd and the latency store, and what each of the three has done so far. */
import { ChildServer, EtcdServer, freePort, repositoryFolder } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LatencyStore } from '../latency-store/latency-store.ts';
import { EtcdWrites } from './etcd-writes.ts';

/** Counters at one moment; differences are what a measurement shows. */
export interface Reading {
  readonly atMs: number;
  /** By kind of object. */
  readonly puts: ReadonlyMap<string, number>;
  readonly putBytes: number;
  readonly gets: number;
  /** By purpose. */
  readonly etcdWrites: ReadonlyMap<string, number>;
  readonly etcdBytes: number;
  readonly cpuSeconds: number;
  readonly storeCpuSeconds: number;
  readonly commits: number;
  readonly commitSeconds: number;
}

export class BenchBroker {
  readonly port: number;
  readonly etcd: EtcdServer;
  readonly store: LatencyStore;
  readonly #writes: EtcdWrites;
  readonly #metricsPort: number;
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  #process: ChildServer | undefined;

  private constructor(parts: {
    readonly port: number;
    readonly metricsPort: number;
    readonly etcd: EtcdServer;
    readonly store: LatencyStore;
    readonly writes: EtcdWrites;
    readonly folder: string;
    readonly env: Readonly<Record<string, string>>;
  }) {
    this.port = parts.port;
    this.#metricsPort = parts.metricsPort;
    this.etcd = parts.etcd;
    this.store = parts.store;
    this.#writes = parts.writes;
    this.#folder = parts.folder;
    this.#env = parts.env;
  }

  /** `env`: settings of the broker beside where its stores are. */
  static async start(env: Readonly<Record<string, string>> = {}): Promise<BenchBroker> {
    const folder = await mkdtemp(join(tmpdir(), 'kafscale-bench-'));
    const etcd = await EtcdServer.start({ quotaBytes: 2 ** 31 });
    const store = await LatencyStore.start(folder);
    const writes = await EtcdWrites.watch(etcd.endpoints[0]!);
    const [port, metricsPort] = [await freePort(), await freePort()];
    const broker = new BenchBroker({ port, metricsPort, etcd, store, writes, folder, env });
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
        ...this.#env,
      },
      logFile: join(this.#folder, 'broker.log'),
      ready: /"msg":"ready"/,
    });
  }

  get process(): ChildServer {
    return this.#process!;
  }

  /** The value of one of the broker's metrics without labels. */
  async metric(name: string): Promise<number> {
    const [value] = await this.#metrics(name);
    return value!;
  }

  async read(): Promise<Reading> {
    const [{ putsOf, putBytes, gets }, [commits, commitSeconds]] = await Promise.all([
      this.store.counts(),
      this.#metrics('kafscale_commit_duration_seconds_count', 'kafscale_commit_duration_seconds_sum'),
    ]);
    const writes = [...this.#writes.read()];
    return {
      atMs: performance.now(),
      puts: new Map(Object.entries(putsOf)),
      putBytes,
      gets,
      etcdWrites: new Map(writes.map(([purpose, counts]) => [purpose, counts.writes])),
      etcdBytes: writes.reduce((sum, [, { bytes }]) => sum + bytes, 0),
      cpuSeconds: this.process.cpuSeconds(),
      storeCpuSeconds: this.store.process.cpuSeconds(),
      commits: commits!,
      commitSeconds: commitSeconds!,
    };
  }

  async close(): Promise<void> {
    this.#writes.close();
    await this.#process?.kill();
    await this.store.close();
    await this.etcd.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #metrics(...names: readonly string[]): Promise<readonly number[]> {
    const text = await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text();
    return names.map((name) => Number(new RegExp(`^${name}(?:\\{\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? NaN));
  }
}
