/**
 * How often the broker copies a byte on its way from the socket to the object: every way JavaScript has of copying bytes counts
 * while a load runs, divided by the bytes that were acknowledged. One is the aim: from where the bytes arrived into the object, which
 * gathers many producers. The kernel's own copies, in from the socket and out to the file, are the same for everybody.
 */
import { startBroker } from '@kafscale/broker';
import { brokerConfigSchema } from '@kafscale/protocol';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLoadTopic, runLoad, type Load } from './produce-load.ts';

const durationMs = 3_000;
const loads: readonly (Load & { readonly title: string })[] = [
  {
    title: '1 MiB requests, 4 in flight on 4 connections',
    batchBytes: 1_000_000,
    connections: 4,
    inFlight: 4,
    durationMs,
  },
  {
    title: '16 KiB requests, 64 in flight on 4 connections',
    batchBytes: 16_384,
    connections: 4,
    inFlight: 64,
    durationMs,
  },
  {
    title: '16 KiB requests, 5 in flight on 4 connections',
    batchBytes: 16_384,
    connections: 4,
    inFlight: 5,
    durationMs,
  },
  { title: '1 KiB requests, 5 in flight on 4 connections', batchBytes: 1_024, connections: 4, inFlight: 5, durationMs },
];

let copiedBytes = 0;

type AnyFunction = (this: unknown, ...args: readonly unknown[]) => unknown;

/** Wraps every function that copies bytes; Node's own modules keep the originals, and copy no records of their own accord. */
function countCopies(): void {
  const count = (owner: object, name: string, bytesOf: (result: unknown, args: readonly unknown[]) => number): void => {
    const original = Reflect.get(owner, name) as AnyFunction;
    const counted: AnyFunction = function (...args) {
      const result = Reflect.apply(original, this, args);
      copiedBytes += bytesOf(result, args);
      return result;
    };
    Reflect.set(owner, name, counted);
  };
  const lengthOf = (bytes: unknown): number => (bytes as ArrayLike<number>).length;
  const typedArray = Reflect.getPrototypeOf(Uint8Array.prototype)!;
  count(Buffer.prototype as object, 'copy', (copied) => copied as number);
  count(typedArray, 'set', (_, [source]) => lengthOf(source));
  count(typedArray, 'slice', lengthOf);
  count(Buffer, 'concat', lengthOf);
  count(Buffer, 'from', (made, [source]) => (ArrayBuffer.isView(source) ? lengthOf(made) : 0));
}

function loadFromAnotherProcess(port: number, index: number): Promise<number> {
  const child = fork(new URL(import.meta.url).pathname, ['load', String(port), String(index)]);
  return new Promise((resolve, reject) => {
    child.once('message', (acknowledged) => resolve(acknowledged as number));
    child.once('exit', (code) => reject(new Error(`the load ended with ${String(code)}`)));
  });
}

async function countAllLoads(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-copies-'));
  const config = brokerConfigSchema.parse({
    kafkaAddress: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    flushIntervalMs: 2,
    dataDir,
  });
  const broker = await startBroker(config, { clock: systemClock, random: cryptoRandom, logger: silentLogger });
  try {
    await createLoadTopic(broker.port, Math.max(...loads.map(({ connections }) => connections)));
    countCopies();
    console.log('\n| load | bytes copied per byte produced |\n| --- | --- |');
    for (const [index, { title }] of loads.entries()) {
      const before = copiedBytes;
      const acknowledged = await loadFromAnotherProcess(broker.port, index);
      console.log(`| ${title} | ${((copiedBytes - before) / acknowledged).toFixed(2)} |`);
    }
  } finally {
    await broker.close();
    await rm(dataDir, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'load') {
  process.send!(await runLoad(Number(process.argv[3]), loads[Number(process.argv[4])]!));
  process.disconnect();
} else {
  await countAllLoads();
}
