/** Runs one suite to its end and counts it. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Suite } from './suites.ts';
import type { TestServers } from './test-servers.ts';

export interface SuiteResult {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Titles of the tests that were left out. */
  readonly skippedTitles?: readonly string[];
}

/** The part of Jest's report that is counted. */
interface JestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly JestTest[] }[];
}

interface JestTest {
  readonly status: string;
  readonly fullName: string;
}

export function countJest(report: JestReport): SuiteResult {
  // A file that did not even load fails without any test of its own.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests,
    skippedTitles: report.testResults.flatMap(({ assertionResults }) =>
      assertionResults.filter(({ status }) => status === 'pending').map(({ fullName }) => fullName),
    ),
  };
}

const heartbeatMs = 60_000;

/** Everything the suite prints goes to `<folder>/<suite>.log`. */
export async function runSuite(suite: Suite, folder: string, servers: TestServers): Promise<SuiteResult> {
  const started = Date.now();
  const log = createWriteStream(join(folder, `${suite.name}.log`));
  const reportFile = join(folder, `${suite.name}.json`);
  try {
    await servers.ready(suite.servers ?? []);
    const { program, args, env } = await suite.command();
    const reporting = suite.counted === 'jest' ? ['--json', '--outputFile', reportFile] : [];
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn(program, [...args, ...reporting], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, NO_COLOR: '1', NODE_ENV: 'test', ...env },
        detached: true, // a group of its own, so that nothing it started outlives it
      });
      const endAll = (): void => {
        try {
          process.kill(-child.pid!, 'SIGKILL');
        } catch {
          // the whole group has ended already
        }
      };
      process.once('exit', endAll);
      const heartbeat = setInterval(() => {
        console.log(`  ${suite.name}: ${Math.round((Date.now() - started) / 1000)} s so far`);
      }, heartbeatMs);
      const limit = setTimeout(() => {
        log.write(`\n${suite.name} took more than ${suite.timeoutMinutes} minutes\n`);
        endAll();
      }, suite.timeoutMinutes * 60_000);
      child.stdout.pipe(log, { end: false });
      child.stderr.pipe(log, { end: false });
      child.on('error', reject);
      child.on('close', (exitCode) => {
        clearInterval(heartbeat);
        clearTimeout(limit);
        endAll();
        process.off('exit', endAll);
        resolve(exitCode);
      });
    });
    if (suite.counted === 'exit') return code === 0 ? onePassed : oneFailed;
    const counts = countJest(JSON.parse(await readFile(reportFile, 'utf8')) as JestReport);
    return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  } catch (error) {
    log.write(`\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return oneFailed;
  } finally {
    await new Promise<void>((resolve) => log.end(() => resolve()));
  }
}

const onePassed: SuiteResult = { passed: 1, failed: 0, skipped: 0 };
const oneFailed: SuiteResult = { passed: 0, failed: 1, skipped: 0 };
