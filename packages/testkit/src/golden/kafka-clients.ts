/**
 * What Kafka's own client jars say of the protocol: their message definitions, and messages serialized by their generated classes.
 * Two jars, because the older one has versions that the newer one dropped. Needs Maven and a JDK the first time, then the cache.
 */
import { preparedFolder, runProgram } from '@kafscale/runtime';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Api } from '@kafscale/protocol';
import { newestKafkaVersion } from '../servers/kafka-server.ts';
import { mavenClasspath } from '../servers/maven-classpath.ts';

/** Kafka 3.9 is the last release with the versions of before 2.1; the newest release has the rest. */
export const schemaVersions = ['3.9.2', newestKafkaVersion] as const;

const definitions = 'common/message';

const clientsClasspath = (version: string) =>
  mavenClasspath(`kafka-clients-${version}`, [`org.apache.kafka:kafka-clients:${version}`]);

/** The folder with the message definitions (`ProduceRequest.json`, …) of one jar. */
export async function kafkaDefinitions(version: string): Promise<string> {
  const folder = await preparedFolder(`kafka-definitions-${version}`, `jar xf ${definitions}`, async (unfinished) => {
    const jars = await clientsClasspath(version);
    const jar = join(jars, '..', `kafka-clients-${version}.jar`);
    await runProgram('jar', ['xf', jar, definitions], { cwd: unfinished });
  });
  return join(folder, definitions);
}

/** A message as one jar serializes it. */
export interface GoldenMessage {
  readonly apiKey: number;
  readonly version: number;
  readonly kind: 'request' | 'response' | 'requestHeader' | 'responseHeader';
  readonly bytes: Buffer;
}

const program = fileURLToPath(new URL('../../golden/GoldenMessages.java', import.meta.url));

/** Messages of these APIs at every version that one of the jars has: defaults, nulls, everything set, and random ones. */
export async function goldenMessages(apis: readonly Api<unknown, unknown>[]): Promise<readonly GoldenMessage[]> {
  const source = await readFile(program, 'utf8');
  const wanted = apis.map(({ key, versions: [lowest, highest] }) => `${key}:${lowest}-${highest}`);
  const recipe = [source, ...schemaVersions, ...wanted].join('\n');
  const folder = await preparedFolder('golden-messages', recipe, async (unfinished) => {
    for (const version of schemaVersions) {
      const printed = await runProgram('java', ['-cp', await clientsClasspath(version), program, ...wanted]);
      await writeFile(join(unfinished, `${version}.txt`), printed);
    }
  });
  const files = await Promise.all((await readdir(folder)).map((file) => readFile(join(folder, file), 'utf8')));
  return files.flatMap((text) => text.trim().split('\n').map(parseGoldenMessage));
}

function parseGoldenMessage(line: string): GoldenMessage {
  const [apiKey, version, kind, hex] = line.split(' ');
  return {
    apiKey: Number(apiKey),
    version: Number(version),
    kind: kind as GoldenMessage['kind'],
    bytes: Buffer.from(hex ?? '', 'hex'),
  };
}
