/**
 * `make bench`: KafScale beside Apache Kafka on this machine and disk, both with their defaults, driven by Kafka's own tools, in
 * turns. `ROUNDS=5` for more rounds, `SCALE=0.1` for a quick look, `SAVE=1` to keep the table in bench/results.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryFolder } from '@kafscale/testkit';
import { runIdle } from './idle.ts';
import type { Sample } from './measures.ts';
import { machine, table } from './report.ts';
import { sides, type Side } from './sides.ts';
import { runLoads } from './workloads.ts';

const rounds = Number(process.env['ROUNDS'] ?? 3);
const scale = Number(process.env['SCALE'] ?? 1);
const only = process.env['SIDE'];

const samples = new Map<Side, Sample[]>(sides.map((side) => [side, []]));
for (let round = 0; round < rounds; round++) {
  const inTurn = round % 2 === 0 ? sides : [...sides].reverse();
  for (const side of inTurn.filter(({ name }) => only === undefined || name === only)) {
    console.log(`round ${round + 1} of ${rounds}: ${side.name}`);
    const sample = { ...(await runLoads(side, { scale })), ...(await runIdle(side)) };
    console.log(JSON.stringify(sample));
    samples.get(side)!.push(sample);
  }
}

const [kafka, ours] = sides.map((side) => samples.get(side)!);
const date = new Date().toISOString().slice(0, 10);
const text = `# Beside Apache Kafka, ${date}

${machine()}; ${rounds} rounds in turns, medians${scale === 1 ? '' : `, scale ${scale}`}. Clients and broker share the machine.
"better by" is KafScale against Kafka; above 1 KafScale is the better one.

${table(kafka!, ours!)}
`;
console.log(`\n${text}`);
if (process.env['SAVE'] === '1') {
  const folder = join(repositoryFolder(), 'bench/results');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${date}-beside-kafka.md`), text);
}
