/**
 * `make test`: every suite in order, with its time, and the sum as the last line. `SUITES=unit,lint` runs only these, some of which
 * run only when they are named; `ALSO=operator` adds such a one to the rest. With `CI=true` nothing may be skipped.
 */
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runSuite } from './run-suite.ts';
import { suites, type Suite } from './suites.ts';
import { TestServers } from './test-servers.ts';
import { isOnPath, isRoot, missingPrograms } from './toolchains.ts';

const inCi = process.env['CI'] === 'true';
const linesShownOfAFailure = 150;

const namesIn = (variable: string): readonly string[] =>
  (process.env[variable] ?? '').split(/[ ,]+/).filter((name) => name !== '');

function chosenSuites(): readonly Suite[] {
  const chosen = namesIn('SUITES');
  const added = namesIn('ALSO');
  const unknown = [...chosen, ...added].filter((name) => !suites.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    throw new Error(`no suite ${unknown.join(', ')}; there are ${suites.map(({ name }) => name).join(', ')}`);
  }
  return suites.filter(({ name, onRequest }) => {
    const isChosen = chosen.length === 0 ? onRequest !== true : chosen.includes(name);
    return isChosen || added.includes(name);
  });
}

async function reasonToSkip(suite: Suite): Promise<string | undefined> {
  if (suite.needsRoot === true && !isRoot()) return 'it needs root';
  await missingPrograms(suite.wants ?? []);
  const missing = await missingPrograms(suite.needs);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not found`;
}

const folder = await mkdtemp(join(tmpdir(), 'kafscale-test-'));
const total = { passed: 0, failed: 0, skipped: 0 };
const started = Date.now();
console.log(`logs of the suites: ${folder}`);

const servers = new TestServers(isOnPath('go') ? chosenSuites().flatMap((suite) => suite.servers ?? []) : []);

for (const suite of chosenSuites()) {
  const suiteStarted = Date.now();
  const reason = await reasonToSkip(suite);
  if (reason !== undefined) {
    total[inCi ? 'failed' : 'skipped'] += 1;
    console.log(`${inCi ? 'FAILED ' : 'skipped'} ${suite.name}: ${reason}`);
    continue;
  }
  console.log(`        ${suite.name}: ${suite.about}`);
  const result = await runSuite(suite, folder, servers);
  const failed = result.failed + (inCi ? result.skipped : 0);
  total.passed += result.passed;
  total.failed += failed;
  total.skipped += inCi ? 0 : result.skipped;
  const seconds = ((Date.now() - suiteStarted) / 1000).toFixed(1);
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : '';
  console.log(`${failed > 0 ? 'FAILED ' : 'ok     '} ${suite.name}: ${result.passed} passed${skipped}, ${seconds} s`);
  for (const title of result.skippedTitles ?? []) console.log(`        left out: ${title}`);
  if (failed > 0) {
    const log = await readFile(join(folder, `${suite.name}.log`), 'utf8');
    console.log(log.trimEnd().split('\n').slice(-linesShownOfAFailure).join('\n'));
    console.log(`(all of it in ${join(folder, `${suite.name}.log`)})`);
  }
}

console.log(`everything took ${((Date.now() - started) / 60_000).toFixed(1)} minutes`);
console.log(`${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
