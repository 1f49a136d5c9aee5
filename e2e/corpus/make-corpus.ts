/**
 * A text corpus of what every Debian has: headers, documentation, scripts, dictionaries, line by line. Each line is made unique by
 * its writer's letter and a number, so that a line read back says which one it is.
 */
import { once } from 'node:events';
import { createWriteStream, readdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { preparedFolder } from '@kafscale/testkit';

const sources: readonly string[] = [
  '/usr/share/dict',
  '/usr/share/common-licenses',
  '/usr/share/perl',
  '/usr/lib/x86_64-linux-gnu/perl-base',
  ...readdirSync('/usr/lib')
    .filter((name) => /^python3(\.\d+)?$/.test(name))
    .map((name) => join('/usr/lib', name)),
  '/usr/include',
  '/usr/share/i18n/locales',
  '/usr/share/mime',
  '/usr/share/doc',
];

const corpusBytes = 104 * 1024 * 1024;
const maxFileBytes = 4 * 1024 * 1024;
const maxLineLength = 10_000;
/** Printable, from space to everything that is no control character, and no replacement for broken UTF-8. */
const printable = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029\ufffd]+$/u;

async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield path;
  }
}

async function* linesOfTheSystem(): AsyncGenerator<string> {
  for (const source of sources) {
    for await (const path of filesBelow(source)) {
      const stored = await readFile(path).catch(() => Buffer.alloc(0));
      const bytes = path.endsWith('.gz') ? gunzipSync(stored, { maxOutputLength: 64 * 1024 * 1024 }) : stored;
      if (bytes.length > maxFileBytes || bytes.subarray(0, 4096).includes(0)) continue;
      for (const line of bytes.toString('utf8').split('\n')) {
        if (line.length <= maxLineLength && printable.test(line)) yield line;
      }
    }
  }
}

export interface Corpus {
  /** One file per writer, each line beginning with the writer's letter and its number, counted from zero. */
  readonly files: ReadonlyMap<string, string>;
}

/** Deals the system's lines out to the writers, again from the start when there are not enough of them. */
async function writeCorpus(folder: string, writers: readonly string[]): Promise<void> {
  const outputs = writers.map((writer) => ({
    writer,
    count: 0,
    output: createWriteStream(join(folder, `${writer}.txt`)),
  }));
  let bytes = 0;
  let turn = 0;
  while (bytes < corpusBytes) {
    const before = bytes;
    for await (const line of linesOfTheSystem()) {
      const to = outputs[turn++ % outputs.length]!;
      const unique = `${to.writer}${to.count++} ${line}\n`;
      bytes += Buffer.byteLength(unique);
      if (!to.output.write(unique)) await once(to.output, 'drain');
      if (bytes >= corpusBytes) break;
    }
    if (bytes === before) throw new Error(`no text in any of ${sources.join(', ')}`);
  }
  await Promise.all(outputs.map(({ output }) => new Promise<void>((resolve) => output.end(() => resolve()))));
}

/** The corpus of this machine, made once. */
export async function makeCorpus(writers: readonly string[]): Promise<Corpus> {
  const recipe = `2 ${writers.join()} ${corpusBytes}`;
  const folder = await preparedFolder('corpus', recipe, (unfinished) => writeCorpus(unfinished, writers));
  return { files: new Map(writers.map((writer) => [writer, join(folder, `${writer}.txt`)])) };
}
