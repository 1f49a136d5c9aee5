/** `kafscale cluster` as somebody tries it: it says where to connect, keeps the data, and leaves no process behind. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, repositoryFolder } from '@kafscale/testkit';
import kafkajs from 'kafkajs';

const startMs = 90_000;

let folder: string;
const started: ChildProcess[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-try-'));
});
afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

class TryOut {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  said = '';

  constructor(...args: readonly string[]) {
    const command = join(repositoryFolder(), 'packages/cli/bin/kafscale.js');
    this.#child = spawn(process.execPath, [command, 'cluster', '--port', '0', ...args], { stdio: 'pipe' });
    started.push(this.#child);
    this.#child.stdout!.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    this.#child.stderr!.on('data', (chunk: Buffer) => (this.said += chunk.toString()));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** The addresses it prints when it is ready. */
  async bootstrap(): Promise<string[]> {
    const printed = (): string | undefined => /bootstrap\.servers=(\S+)/.exec(this.said)?.[1];
    await eventually('the cluster is ready', () => printed() !== undefined || this.#child.exitCode !== null, startMs);
    if (printed() === undefined) throw new Error(this.said);
    return printed()!.split(',');
  }

  get pids(): number[] {
    return [...this.said.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid));
  }

  /** Ctrl-C; answers the exit code. */
  async interrupt(): Promise<number | null> {
    this.#child.kill('SIGINT');
    return this.#ended;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function withAdmin<Result>(brokers: string[], work: (admin: kafkajs.Admin) => Promise<Result>): Promise<Result> {
  const kafka = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 30 } });
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

it('runs etcd, MinIO and three brokers, ends them all on Ctrl-C, and goes on with the data', async () => {
  const dataDir = join(folder, 'processes');
  const first = new TryOut('--data-dir', dataDir);
  const brokers = await first.bootstrap();
  expect(brokers).toHaveLength(3);
  expect(first.pids).toHaveLength(5);
  await withAdmin(brokers, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 3 }] });
    expect((await admin.describeCluster()).brokers).toHaveLength(3);
  });

  const second = new TryOut('--data-dir', dataDir);
  await expect(second.bootstrap()).rejects.toThrow(/runs in .* already .*--data-dir/);
  expect(first.pids.every(isAlive)).toBe(true);

  expect(await first.interrupt()).toBe(0);
  expect(first.pids.filter(isAlive)).toEqual([]);

  const again = new TryOut('--data-dir', dataDir, '--brokers', '1');
  expect(await withAdmin(await again.bootstrap(), (admin) => admin.listTopics())).toContain('kept');
  expect(await again.interrupt()).toBe(0);
}, 240_000);

it('needs neither etcd nor MinIO with embedded stores', async () => {
  const cluster = new TryOut('--data-dir', join(folder, 'embedded'), '--stores', 'embedded', '--brokers', '2');
  const brokers = await cluster.bootstrap();
  await withAdmin(brokers, async (admin) => {
    await admin.createTopics({ topics: [{ topic: 'small', numPartitions: 4 }] });
    expect((await admin.describeCluster()).brokers).toHaveLength(2);
  });
  expect(cluster.pids).toEqual([]);
  expect(await cluster.interrupt()).toBe(0);
}, 120_000);
