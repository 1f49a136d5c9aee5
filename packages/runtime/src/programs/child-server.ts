/**
 * A server as a child process: output to a log file, ready when it says so, gone when the test process is gone. What kind of server
 * it is, is the business of the files beside this one.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';

export interface ChildServerSettings {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly logFile: string;
  /** Matched against what the server has printed since its start; the match is handed to whoever started it. */
  readonly ready: RegExp;
  readonly readyTimeoutMs?: number;
  /** In a process group of its own, so that a Ctrl-C in the terminal is the starter's to pass on; not unless set. */
  readonly ownGroup?: boolean;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class ChildServer {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  /** What it printed when it was ready. */
  readonly readyMatch: RegExpMatchArray;

  private constructor(child: ChildProcess, ended: Promise<void>, readyMatch: RegExpMatchArray) {
    this.#child = child;
    this.#ended = ended;
    this.readyMatch = readyMatch;
  }

  /** Rejects, with the end of the log, when the server ends or stays silent before it is ready. */
  static async start(settings: ChildServerSettings): Promise<ChildServer> {
    const { name, program, args, env, cwd, logFile, ready, readyTimeoutMs = 60_000, ownGroup = false } = settings;
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      detached: ownGroup,
      ...(cwd !== undefined && { cwd }),
    });
    running.add(child);
    const log = createWriteStream(logFile, { flags: 'a' });
    const ended = new Promise<void>((resolve) => {
      child.once('close', () => {
        running.delete(child);
        log.end(resolve);
      });
    });
    let printed = '';
    const readyMatch = await new Promise<RegExpMatchArray>((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        child.kill('SIGKILL');
        reject(new Error(`${name} ${why}\n${printed.slice(-4_000)}`));
      };
      const timer = setTimeout(() => fail(`was not ready in ${readyTimeoutMs} ms`), readyTimeoutMs);
      const endedEarly = (code: number | null, signal: string | null): void =>
        fail(`ended with ${String(code ?? signal)} before it was ready`);
      child.once('error', (error) => fail(error.message));
      child.once('close', endedEarly);
      let isReady = false;
      const take = (chunk: Buffer): void => {
        log.write(chunk);
        if (isReady) return;
        printed += chunk.toString();
        const match = ready.exec(printed);
        if (match === null) return;
        isReady = true;
        clearTimeout(timer);
        child.off('close', endedEarly);
        resolve(match);
      };
      child.stdout.on('data', take);
      child.stderr.on('data', take);
    });
    return new ChildServer(child, ended, readyMatch);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** False once the process has ended, by whoever's hand. */
  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the process has ended, by whoever's hand. */
  async ended(): Promise<void> {
    await this.#ended;
  }

  /** `kill -9`, and waits until the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** SIGSTOP: it keeps its connections and answers nothing, as in a long pause of its machine. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  /** Lets it go on after `pause`. */
  resume(): void {
    this.#child.kill('SIGCONT');
  }

  /** SIGTERM; SIGKILL when it takes longer than it may. */
  async stop(graceMs = 30_000): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** CPU seconds that the process has used, user and system together. Linux only. */
  cpuSeconds(): number {
    const ticksPerSecond = 100;
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }

  /** Resident memory of the process, bytes. Linux only. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
  }
}
