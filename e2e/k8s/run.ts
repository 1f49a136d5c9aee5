/**
 * `make e2e-k8s` and `make k8s`: builds what is missing, starts a Kubernetes of this machine or takes the one that
 * `KUBECONFIG` names, runs the scenarios or a shell there, and leaves nothing behind. The last line says how many passed and failed.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { helmBinary, kubeBinaries, repositoryFolder } from '@kafscale/testkit';
import { buildEverything, installPackages } from './build.ts';
import { Cluster } from './control-plane/cluster.ts';
import { runInOwnNamespaces } from './control-plane/own-namespaces.ts';

/** What each way to call this runs in the cluster. */
const modes = {
  pods: { scenarios: 'e2e/k8s/pods' },
  /** A shell with kubectl and helm. */
  shell: { scenarios: undefined },
} as const;
type Mode = keyof typeof modes;

/** Images, probes and drains take their time; what may hang is bounded where it is waited for. */
const testTimeoutMs = 600_000;

const startedMs = performance.now();
const progress = (text: string): void =>
  console.log(`${((performance.now() - startedMs) / 1_000).toFixed(1).padStart(6)} s ${text}`);

/** Runs a program in the foreground; answers its exit code. */
function inForeground(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', cwd: repositoryFolder(), env: { ...process.env, ...env } });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}

async function runScenarios(mode: Mode, kubeconfig: string): Promise<number> {
  const { scenarios } = modes[mode];
  const programs = [dirname((await kubeBinaries()).kubectl), dirname(await helmBinary())];
  const env = { KUBECONFIG: kubeconfig, PATH: [...programs, process.env['PATH'] ?? ''].join(':') };
  if (scenarios === undefined) return inForeground(process.env['SHELL'] ?? 'bash', [], env);
  progress('running the scenarios');
  const report = join(process.env['KAFSCALE_NODE_FOLDER'] ?? dirname(kubeconfig), 'report.json');
  const jest = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js'];
  const chosen = process.env['ONLY'];
  await inForeground(
    process.execPath,
    [
      ...[...jest, '--config', 'jest.e2e.config.js', scenarios],
      ...['--reporters', join(dirname(fileURLToPath(import.meta.url)), 'progress-reporter.js')],
      ...['--json', '--outputFile', report, '--testTimeout', String(testTimeoutMs)],
      ...(chosen === undefined ? [] : ['--testNamePattern', chosen]),
    ],
    env,
  );
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(
    await readFile(report, 'utf8'),
  ) as Report;
  const failed = numFailedTests + numRuntimeErrorTestSuites;
  progress('done');
  console.log(`${numPassedTests} passed, ${failed} failed`);
  return failed > 0 || numPassedTests === 0 ? 1 : 0;
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numRuntimeErrorTestSuites: number;
}

async function withCluster(mode: Mode, folder: string): Promise<number> {
  const cluster = await Cluster.start(folder, progress);
  try {
    progress('the cluster is ready');
    return await runScenarios(mode, cluster.kubeconfig);
  } finally {
    await cluster.close();
  }
}

async function main(mode: Mode): Promise<number> {
  const given = process.env['KUBECONFIG'] ?? '';
  if (given !== '') return runScenarios(mode, given);
  const folder = process.env['KAFSCALE_NODE_FOLDER'];
  if (folder !== undefined) return withCluster(mode, folder);
  await installPackages();
  await buildEverything(progress);
  return runInOwnNamespaces([process.execPath, ...process.execArgv, fileURLToPath(import.meta.url), mode]);
}

const [mode = ''] = process.argv.slice(2);
if (!Object.hasOwn(modes, mode)) throw new Error(`say what to run: ${Object.keys(modes).join(', ')}`);
process.exitCode = await main(mode as Mode);
