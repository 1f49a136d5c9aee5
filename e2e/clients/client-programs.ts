/** The clients that must work with their default settings, each made ready from its own registry and driven in the same way. */
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  isInstalled,
  mavenClasspath,
  newestKafkaVersion,
  preparedFolder,
  repositoryFolder,
  runProgram,
} from '@kafscale/testkit';
import { kcatCanSend, kcatConsume, kcatProduce } from './kcat.ts';
import { readRecord, recordLine, type ReadRecord, type SentRecord } from './records.ts';

export interface Report {
  readonly codec: string;
  /** Which record of the lot it was. */
  readonly index: number;
  readonly partition: number;
  readonly offset: number;
}

export type Idempotence = 'default' | 'on' | 'off';

export interface ClientProgram {
  /** Sends the lot once with each codec; answers where each record went, or nothing where the client does not say. */
  produce(
    target: { readonly bootstrap: string; readonly topic: string },
    lot: readonly SentRecord[],
    how: { readonly codecs: readonly string[]; readonly idempotence: Idempotence },
  ): Promise<readonly Report[]>;
  /** Joins the group, reads this many records, commits and leaves; only those that read nearby know what a rack is. */
  consume(
    target: { readonly bootstrap: string; readonly topic: string; readonly group: string; readonly rack?: string },
    count: number,
  ): Promise<readonly ReadRecord[]>;
}

export interface Client {
  readonly name: string;
  readonly codecs: readonly string[];
  /** What an idempotent producer is to this client without any setting. */
  readonly idempotentByDefault: boolean;
  /** Whether its producer says where each record went. */
  readonly tellsOffsets: boolean;
  readonly canSend?: (record: SentRecord) => boolean;
  /** Whether it goes to a broker of its rack, where a leader says so (KIP-392). */
  readonly readsNearby?: boolean;
  /** The programs that must be there. */
  readonly needs: readonly string[];
  prepare(): Promise<ClientProgram>;
}

const allCodecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const timeoutMs = 150_000;

/** A program that speaks the text form of `records.ts` on stdin and stdout. */
function textProgram(program: string, prefix: readonly string[], env: Record<string, string> = {}): ClientProgram {
  const lines = (output: string): string[] => output.split('\n').filter((line) => line !== '');
  return {
    async produce({ bootstrap, topic }, lot, { codecs, idempotence }) {
      const args = [...prefix, 'produce', bootstrap, topic, codecs.join(','), idempotence];
      const output = await runProgram(program, args, {
        input: lot.map((record) => `${recordLine(record)}\n`).join(''),
        timeoutMs,
        env,
      });
      return lines(output).map((line) => {
        const [codec, index, partition, offset] = line.split('\t');
        return { codec: codec!, index: Number(index), partition: Number(partition), offset: Number(offset) };
      });
    },
    async consume({ bootstrap, topic, group, rack }, count) {
      const place = rack === undefined ? [] : [rack];
      const args = [...prefix, 'consume', bootstrap, topic, group, String(count), ...place];
      return lines(await runProgram(program, args, { timeoutMs, env })).map(readRecord);
    },
  };
}

function javaClient(version: string): Client {
  return {
    name: `Java kafka-clients ${version}`,
    codecs: allCodecs,
    idempotentByDefault: true,
    tellsOffsets: true,
    readsNearby: true,
    needs: ['mvn', 'javac', 'java'],
    async prepare() {
      const libraries = await mavenClasspath(`kafka-clients-${version}`, [
        `org.apache.kafka:kafka-clients:${version}`,
        'org.slf4j:slf4j-nop:1.7.36',
      ]);
      const program = source('java/RoundTrip.java');
      const recipe = `${libraries}\n${await readFile(program, 'utf8')}`;
      const classes = await preparedFolder(`java-client-${version}`, recipe, async (folder) => {
        await runProgram('javac', ['-cp', libraries, '-d', folder, program]);
      });
      return textProgram('java', [
        '-Xshare:auto',
        '-XX:TieredStopAtLevel=1',
        '-cp',
        `${libraries}:${classes}`,
        'RoundTrip',
      ]);
    },
  };
}

const confluentKafkaVersion = '2.16.1';

/** Where confluent-kafka is, whose wheel brings its own librdkafka; for PYTHONPATH. */
export async function confluentKafkaFolder(): Promise<string> {
  return preparedFolder('confluent-kafka', confluentKafkaVersion, async (unfinished) => {
    const requirement = `confluent-kafka==${confluentKafkaVersion}`;
    const target = ['--target', unfinished, '--only-binary', ':all:', '--quiet', '--disable-pip-version-check'];
    await runProgram('python3', ['-m', 'pip', 'install', ...target, requirement]);
  });
}

export const clients: readonly Client[] = [
  javaClient('3.4.1'),
  javaClient(newestKafkaVersion),
  {
    name: `confluent-kafka ${confluentKafkaVersion} (librdkafka)`,
    codecs: allCodecs,
    idempotentByDefault: false,
    tellsOffsets: true,
    readsNearby: true,
    needs: ['python3'],
    async prepare() {
      return textProgram('python3', [source('python/round_trip.py')], { PYTHONPATH: await confluentKafkaFolder() });
    },
  },
  {
    name: 'franz-go 1.22.2',
    codecs: allCodecs,
    idempotentByDefault: true,
    tellsOffsets: true,
    readsNearby: true,
    needs: ['go'],
    async prepare() {
      const files = ['go.mod', 'go.sum', 'main.go'].map((file) => ({ file, path: source(`franz-go/${file}`) }));
      const recipe = await Promise.all(files.map(({ path }) => readFile(path, 'utf8')));
      const folder = await preparedFolder('franz-go', recipe.join('\n'), async (unfinished) => {
        for (const { file, path } of files) await copyFile(path, join(unfinished, file));
        await runProgram('go', ['build', '-o', 'round-trip', '.'], { cwd: unfinished });
      });
      return textProgram(join(folder, 'round-trip'), []);
    },
  },
  {
    name: 'KafkaJS 2.2.4',
    codecs: ['none', 'gzip', 'snappy'],
    idempotentByDefault: false,
    tellsOffsets: true,
    canSend: ({ headers }) => headers.every(([, value]) => value !== null),
    needs: [],
    prepare: () =>
      Promise.resolve(
        textProgram(
          process.execPath,
          [
            '--no-warnings',
            '--conditions=@kafscale/source',
            join(repositoryFolder(), 'node_modules/tsx/dist/cli.mjs'),
            source('kafkajs/round-trip.ts'),
          ],
          { KAFKAJS_NO_PARTITIONER_WARNING: '1' },
        ),
      ),
  },
  {
    name: 'kcat (librdkafka of the distribution)',
    codecs: allCodecs,
    idempotentByDefault: false,
    tellsOffsets: false,
    canSend: kcatCanSend,
    needs: ['kcat'],
    prepare: () =>
      Promise.resolve({
        async produce({ bootstrap, topic }, lot, { codecs, idempotence }) {
          for (const codec of codecs) {
            const settings = [`compression.codec=${codec}`];
            if (idempotence !== 'default') settings.push(`enable.idempotence=${String(idempotence === 'on')}`);
            await kcatProduce(bootstrap, topic, lot, settings);
          }
          return [];
        },
        consume: ({ bootstrap, topic, group }, count) => kcatConsume(bootstrap, topic, group, count),
      }),
  },
];

const versionArgument: Readonly<Record<string, readonly string[]>> = { go: ['version'], kcat: ['-V'] };

/** Which of the programs that a client needs is not there. */
export async function missingProgram({ needs }: Client): Promise<string | undefined> {
  for (const program of needs) {
    if (!(await isInstalled(program, versionArgument[program]))) return program;
  }
  return undefined;
}
