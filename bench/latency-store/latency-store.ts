/** The memory store with a known latency, as a process of its own: starting it, telling it how slow to be, and asking what it saw. */
import { ChildServer, freePort, repositoryFolder } from '@kafscale/testkit';
import { join } from 'node:path';
import type { Counts, Latency } from './memory-s3.ts';

/** What issue and documents mean by a store in the cloud. */
export const cloudLatency: Latency = { putMs: 30, getMs: 15, slowestMs: 200 };
export const noLatency: Latency = { putMs: 0, getMs: 0, slowestMs: 0 };

export class LatencyStore {
  readonly endpoint: string;
  readonly #process: ChildServer;

  private constructor(port: number, process: ChildServer) {
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#process = process;
  }

  static async start(folder: string): Promise<LatencyStore> {
    const port = await freePort();
    const program = join(repositoryFolder(), 'bench/latency-store/serve.ts');
    const child = await ChildServer.start({
      name: 'the latency store',
      program: process.execPath,
      args: ['--no-warnings', '--conditions=@kafscale/source', '--import', 'tsx', program, String(port)],
      logFile: join(folder, 'latency-store.log'),
      ready: /ready on/,
    });
    return new LatencyStore(port, child);
  }

  async setLatency(latency: Latency): Promise<void> {
    await fetch(`${this.endpoint}/-/latency`, { method: 'POST', body: JSON.stringify(latency) });
  }

  async counts(): Promise<Readonly<Counts>> {
    return (await (await fetch(`${this.endpoint}/-/counts`)).json()) as Counts;
  }

  get process(): ChildServer {
    return this.#process;
  }

  /** Gives back the memory of all flushes: only where the broker reads none of them again. */
  async forgetFlushes(): Promise<void> {
    await fetch(`${this.endpoint}/-/forget`, { method: 'POST' });
  }

  async close(): Promise<void> {
    await this.#process.kill();
  }
}
