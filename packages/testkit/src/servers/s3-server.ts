/**
 * A real S3 server for tests: a child process on its own port and folder that can be killed, started again and stopped in time.
 * Makes differ: see minio-server.ts and versitygw-server.ts.
 */
import { ChildServer, freePort } from '@kafscale/runtime';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../eventually.ts';
import { s3Request, type S3Access, type S3Request } from './s3-request.ts';

export interface S3ServerSettings {
  /** Where objects go; a temporary folder, removed at the end, when left out. */
  readonly folder?: string;
  /** Buckets that are there when it has started. */
  readonly buckets?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** How a make of server is started. */
export interface S3Make {
  readonly name: string;
  readonly region: string;
  program(): Promise<string>;
  args(where: { readonly port: number; readonly dataFolder: string }): readonly string[];
  env(keys: { readonly accessKey: string; readonly secretKey: string }): Readonly<Record<string, string>>;
  readonly ready: RegExp;
}

const keys = { accessKey: 'kafscale-test', secretKey: 'kafscale-test-secret' };

export class S3Server implements S3Access {
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly accessKey = keys.accessKey;
  readonly secretKey = keys.secretKey;
  /** Its home: log and data. */
  readonly folder: string;
  readonly #launch: () => Promise<ChildServer>;
  readonly #removedAtTheEnd: boolean;
  #process: ChildServer | undefined;

  private constructor(
    parts: { readonly port: number; readonly region: string; readonly folder: string },
    launch: () => Promise<ChildServer>,
    removedAtTheEnd: boolean,
  ) {
    this.port = parts.port;
    this.endpoint = `http://127.0.0.1:${parts.port}`;
    this.region = parts.region;
    this.folder = parts.folder;
    this.#launch = launch;
    this.#removedAtTheEnd = removedAtTheEnd;
  }

  static async start(make: S3Make, { folder, buckets = [], env = {} }: S3ServerSettings = {}): Promise<S3Server> {
    const program = await make.program();
    const home = folder ?? (await mkdtemp(join(tmpdir(), `kafscale-${make.name.toLowerCase()}-`)));
    const port = await freePort();
    const dataFolder = join(home, 'data');
    await mkdir(dataFolder, { recursive: true });
    const launch = (): Promise<ChildServer> =>
      ChildServer.start({
        name: make.name,
        program,
        args: make.args({ port, dataFolder }),
        env: { ...make.env(keys), ...env },
        logFile: join(home, `${make.name.toLowerCase()}.log`),
        ready: make.ready,
      });
    const server = new S3Server({ port, region: make.region, folder: home }, launch, folder === undefined);
    try {
      await server.restart();
      for (const bucket of buckets) await server.createBucket(bucket);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get process(): ChildServer {
    if (this.#process === undefined) throw new Error('the server was not started');
    return this.#process;
  }

  /** Any S3 request, signed; the answer whatever its status. */
  request(request: S3Request): Promise<Response> {
    return s3Request(this, request);
  }

  /** One that exists already is fine. */
  async createBucket(name: string): Promise<void> {
    const answer = await this.request({ method: 'PUT', path: name });
    const text = await answer.text();
    if (!answer.ok && answer.status !== 409) throw new Error(`bucket ${name}: ${answer.status} ${text}`);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Starts it again on the same port and data, after `kill`. */
  async restart(): Promise<void> {
    this.#process = await this.#launch();
    // It may say that it listens before it does.
    await eventually(`${this.endpoint} is listened on`, () => isListening(this.port));
  }

  /** Stops it in time (SIGSTOP): connections stay, answers do not come. */
  pause(): void {
    this.process.pause();
  }

  resume(): void {
    this.process.resume();
  }

  /** Ends it and removes its temporary folder. */
  async close(): Promise<void> {
    await this.kill();
    if (this.#removedAtTheEnd) await rm(this.folder, { recursive: true, force: true });
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
