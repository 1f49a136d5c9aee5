/** Our own broker as users run it: `kafscale dev` in a process of its own, which can be killed and started again on its port. */
import { ChildServer, freePort } from '@kafscale/runtime';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface KafScaleServerSettings {
  /** Where records and metadata go; a temporary folder, removed at the end, when left out. */
  readonly dataFolder?: string;
  /** Where its log goes; beside the data when left out. */
  readonly logFile?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The repository this file belongs to, seen from its source and from its build alike. */
export function repositoryFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'nx.json'))) folder = dirname(folder);
  return folder;
}

export class KafScaleServer {
  readonly port: number;
  readonly metricsPort: number;
  readonly bootstrap: string;
  readonly dataFolder: string;
  readonly logFile: string;
  readonly #removedAtTheEnd: string | undefined;
  #process: ChildServer;

  private constructor(
    where: Pick<KafScaleServer, 'port' | 'metricsPort' | 'dataFolder' | 'logFile'>,
    process: ChildServer,
    removedAtTheEnd: string | undefined,
  ) {
    this.port = where.port;
    this.metricsPort = where.metricsPort;
    this.bootstrap = `127.0.0.1:${where.port}`;
    this.dataFolder = where.dataFolder;
    this.logFile = where.logFile;
    this.#process = process;
    this.#removedAtTheEnd = removedAtTheEnd;
  }

  static async start({ dataFolder, logFile, env }: KafScaleServerSettings = {}): Promise<KafScaleServer> {
    const home = dataFolder === undefined ? await mkdtemp(join(tmpdir(), 'kafscale-')) : undefined;
    const data = dataFolder ?? join(home!, 'data');
    await mkdir(data, { recursive: true });
    const [port, metricsPort] = [await freePort(), await freePort()];
    const where = { port, metricsPort, dataFolder: data, logFile: logFile ?? join(home ?? data, 'kafscale.log') };
    return new KafScaleServer(where, await launch(where, env), home);
  }

  get process(): ChildServer {
    return this.#process;
  }

  /** `kill -9`; what it had made durable stays. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Starts again on the same ports, after its end, on the same data unless told otherwise. */
  async restart(env?: Readonly<Record<string, string>>): Promise<void> {
    this.#process = await launch(this, env);
  }

  /** Ends it and removes its temporary folder. */
  async close(): Promise<void> {
    await this.#process.kill();
    if (this.#removedAtTheEnd !== undefined) await rm(this.#removedAtTheEnd, { recursive: true, force: true });
  }
}

function launch(
  where: Pick<KafScaleServer, 'port' | 'metricsPort' | 'dataFolder' | 'logFile'>,
  env: Readonly<Record<string, string>> = {},
): Promise<ChildServer> {
  return ChildServer.start({
    name: 'KafScale',
    program: process.execPath,
    args: [
      join(repositoryFolder(), 'packages/cli/bin/kafscale.js'),
      'dev',
      ...['--port', String(where.port)],
      ...['--metrics-port', String(where.metricsPort)],
      ...['--data-dir', where.dataFolder],
    ],
    env,
    logFile: where.logFile,
    ready: new RegExp(`127\\.0\\.0\\.1:${where.port}|localhost:${where.port}`),
  });
}
