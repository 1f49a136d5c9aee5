/**
 * KafScale beside the raw limit of its own produce path: the miniature pipeline of the same steps, on the same disk, under the same
 * load, in turns. `ROUNDS=7` for more rounds.
 */
import { ChildServer, KafScaleServer, repositoryFolder } from '@kafscale/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { median } from '../beside-kafka/report.ts';
import { createLoadTopic, runLoad, type Load } from './produce-load.ts';

const rounds = Number(process.env['ROUNDS'] ?? 5);
const megabyte = 1e6;

const loads: readonly (Load & { readonly title: string })[] = [
  { title: '1 MiB requests', batchBytes: 1_000_000, connections: 4, inFlight: 4, durationMs: 4_000 },
  { title: '16 KiB requests', batchBytes: 16 * 1024, connections: 4, inFlight: 64, durationMs: 4_000 },
];

interface Target {
  readonly process: ChildServer;
  readonly port: number;
  close(): Promise<void>;
}

async function startMini(): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), 'mini-pipeline-'));
  const program = join(repositoryFolder(), 'bench/raw-limit/mini-pipeline.ts');
  const child = await ChildServer.start({
    name: 'the mini pipeline',
    program: process.execPath,
    args: ['--no-warnings', '--conditions=@kafscale/source', '--import', 'tsx', program, join(folder, 'data')],
    logFile: join(folder, 'log'),
    ready: /ready on 127\.0\.0\.1:(\d+)/,
  });
  const close = async (): Promise<void> => {
    await child.kill();
    await rm(folder, { recursive: true, force: true });
  };
  return { process: child, port: Number(child.readyMatch[1]), close };
}

async function startKafScale(): Promise<Target> {
  const server = await KafScaleServer.start();
  await createLoadTopic(server.port, Math.max(...loads.map(({ connections }) => connections)));
  return server;
}

interface Sample {
  readonly megabytesPerSecond: number;
  readonly cpuMsPerMegabyte: number;
}

async function measure({ process, port }: Target, load: Load): Promise<Sample> {
  await runLoad(port, { ...load, durationMs: 1_000 });
  const [cpuBefore, startedMs] = [process.cpuSeconds(), performance.now()];
  const bytes = await runLoad(port, load);
  const seconds = (performance.now() - startedMs) / 1_000;
  return {
    megabytesPerSecond: bytes / megabyte / seconds,
    cpuMsPerMegabyte: ((process.cpuSeconds() - cpuBefore) * 1_000) / (bytes / megabyte),
  };
}

const sides = [
  { name: 'raw limit', start: startMini },
  { name: 'KafScale', start: startKafScale },
] as const;
const samples = new Map<string, Sample[]>();
for (let round = 0; round < rounds; round++) {
  for (const { name, start } of round % 2 === 0 ? sides : [...sides].reverse()) {
    const target = await start();
    try {
      for (const load of loads) {
        const key = `${name}, ${load.title}`;
        samples.set(key, [...(samples.get(key) ?? []), await measure(target, load)]);
      }
    } finally {
      await target.close();
    }
  }
}

console.log(`\nproduce, medians of ${rounds} rounds in turns; the ratio is ours of the raw limit's, per CPU second\n`);
console.log('| requests | raw limit MB/s | CPU ms/MB | KafScale MB/s | CPU ms/MB | MB/s ratio | per CPU |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
for (const { title } of loads) {
  const of = (name: string, field: keyof Sample): number =>
    median(samples.get(`${name}, ${title}`)!.map((sample) => sample[field]));
  const [limit, ours] = [of('raw limit', 'megabytesPerSecond'), of('KafScale', 'megabytesPerSecond')];
  const [limitCpu, oursCpu] = [of('raw limit', 'cpuMsPerMegabyte'), of('KafScale', 'cpuMsPerMegabyte')];
  const cells = [limit.toFixed(0), limitCpu.toFixed(2), ours.toFixed(0), oursCpu.toFixed(2)];
  console.log(`| ${[title, ...cells, (ours / limit).toFixed(2), (limitCpu / oursCpu).toFixed(2)].join(' | ')} |`);
}
