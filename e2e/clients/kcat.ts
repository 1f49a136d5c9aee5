/**
 * kcat behind the interface of the other client programs. It takes headers and "empty means null" for a whole run only, so each
 * record that needs them is a run of its own, and it reports no offsets.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { runProgram } from '@kafscale/testkit';
import type { ReadRecord, SentRecord } from './records.ts';

/** What kcat can say on its command line: no empty keys, no empty headers, and an empty value only beside a key. */
export function kcatCanSend({ key, value, headers }: SentRecord): boolean {
  const isText = (bytes: Buffer | null): boolean =>
    bytes !== null && bytes.length > 0 && !bytes.includes(0) && Buffer.from(bytes.toString()).equals(bytes);
  const keyFits = key === null ? value?.length !== 0 : isText(key);
  return keyFits && headers.every(([, header]) => isText(header));
}

export async function kcatProduce(
  bootstrap: string,
  topic: string,
  records: readonly SentRecord[],
  settings: readonly string[],
): Promise<void> {
  const common = ['-P', '-b', bootstrap, '-t', topic, ...settings.flatMap((setting) => ['-X', setting])];
  const inLines = new Map<string, { flags: string[]; lines: Buffer[] }>();
  for (const { key, value, headers } of records) {
    const headed = headers.flatMap(([name, bytes]) => ['-H', `${name}=${bytes!.toString()}`]);
    if (value !== null && (value.includes('\n') || value.length > 100_000)) {
      await produceFile([...common, ...headed, ...(key === null ? [] : ['-k', key.toString()])], value);
      continue;
    }
    const flags = [...headed, ...(key === null || value === null ? ['-Z'] : [])]; // -Z: what is empty is null
    const run = inLines.get(flags.join()) ?? { flags, lines: [] };
    inLines.set(flags.join(), run);
    run.lines.push(
      Buffer.concat([key ?? Buffer.alloc(0), Buffer.from('\t'), value ?? Buffer.alloc(0), Buffer.from('\n')]),
    );
  }
  for (const { flags, lines } of inLines.values()) {
    await runProgram('kcat', [...common, ...flags, '-K', '\t'], { input: Buffer.concat(lines), timeoutMs: 60_000 });
  }
}

/** One record whose value is a file. */
async function produceFile(args: readonly string[], value: Buffer): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'kcat-'));
  try {
    await writeFile(join(folder, 'value'), value);
    await runProgram('kcat', [...args, join(folder, 'value')], { timeoutMs: 60_000 });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads `count` records in a group: binary output with the lengths in front, so that nothing needs a delimiter. */
export async function kcatConsume(
  bootstrap: string,
  topic: string,
  group: string,
  count: number,
): Promise<ReadRecord[]> {
  const settings = ['-X', 'auto.offset.reset=earliest', '-c', String(count), '-q'];
  const child = spawn('kcat', ['-b', bootstrap, '-f', '%p %o %K %S %h\n%k%s\n', ...settings, '-G', group, topic], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  if (code !== 0)
    throw new Error(`kcat ended with ${String(code)} after reading ${Buffer.concat(chunks).length} bytes`);
  return parse(Buffer.concat(chunks));
}

function parse(output: Buffer): ReadRecord[] {
  const records: ReadRecord[] = [];
  let at = 0;
  const take = (length: number): Buffer | null => {
    if (length < 0) return null;
    at += length;
    return output.subarray(at - length, at);
  };
  while (at < output.length) {
    const lineEnd = output.indexOf('\n', at);
    const [partition, offset, keyLength, valueLength, ...headers] = output.toString('utf8', at, lineEnd).split(' ');
    at = lineEnd + 1;
    const key = take(Number(keyLength));
    const value = take(Number(valueLength));
    at += 1;
    records.push({
      partition: Number(partition),
      offset: Number(offset),
      key,
      value,
      headers: headers
        .join(' ')
        .split(',')
        .filter((pair) => pair !== '')
        .map((pair) => {
          const equals = pair.indexOf('=');
          return [pair.slice(0, equals), Buffer.from(pair.slice(equals + 1))] as const;
        }),
    });
  }
  return records;
}
