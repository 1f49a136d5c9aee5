/** Runs a program to its end: bounded in time, without stdin of its own, its output kept for the error message. */
import { spawn } from 'node:child_process';

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Written to the program's stdin, which is closed after it. */
  readonly input?: string | Uint8Array;
}

export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** Resolves with what it printed to stdout when it ends with 0; rejects with the end of its stderr otherwise. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { cwd, env, timeoutMs = 600_000, input }: ProgramOptions = {},
): Promise<string> {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on('error', () => undefined); // a program that ended early says why by its exit code
  child.stdin.end(input ?? '');
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new ProgramError(`${program} did not start`, { cause: error }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const output = Buffer.concat(stdout).toString();
      if (code === 0) return resolve(output);
      const how = late ? `took more than ${timeoutMs} ms` : `ended with ${String(code ?? signal)}`;
      const said = `${output.slice(-2_000)}${Buffer.concat(stderr).toString().slice(-4_000)}`;
      reject(new ProgramError(`${[program, ...args].join(' ').slice(0, 500)} ${how}\n${said}`));
    });
  });
}

/** Whether a program of this name is found and starts. */
export async function isInstalled(program: string, args: readonly string[] = ['--version']): Promise<boolean> {
  return runProgram(program, args, { timeoutMs: 30_000 }).then(
    () => true,
    () => false,
  );
}
