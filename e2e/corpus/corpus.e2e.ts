/**
 * The main job on real input: a hundred megabytes of text, line by line, through two console tools at once, the broker killed in
 * the middle and started again. Every acknowledged line is read back by a group of three, nothing is invented, and each record
 * whose offset was reported is found at exactly that offset.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaClasspath } from '@kafscale/testkit';
import kafkajs from 'kafkajs';
import { startBrokerUnderTest, type BrokerUnderTest } from '../broker-under-test.ts';
import { confluentKafkaFolder } from '../clients/client-programs.ts';
import { makeCorpus } from './make-corpus.ts';
import {
  kafkaConsoleProducer,
  kcatProducer,
  mixedGroup,
  ReportingProducer,
  type Acknowledged,
  type ConsoleOutcome,
} from './writers.ts';

const topic = 'corpus';
const group = 'readers';
const partitions = 6;
const reportsPerSecond = 500;
/** The writers' letters: the two console tools deal with the corpus, the other two count beside them. */
const consoleTool = 'c';
const kcatTool = 'k';
const verifiable = 7;
const librdkafka = 'r';

let broker: BrokerUnderTest;
let folder: string;
let expected: Map<string, string[]>;
let outcomes: Map<string, ConsoleOutcome>;
let reported: Acknowledged[];
let membersSeen = 0;
let logEnds: Map<number, number>;
/** Offsets that were read, per partition, and how often each corpus line was. */
let offsetsRead: Map<number, Uint8Array>;
let linesRead: Map<string, Uint8Array>;
const invented: string[] = [];
const misplaced: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'corpus-'));
  const { files } = await makeCorpus([consoleTool, kcatTool]);
  expected = new Map();
  for (const [writer, file] of files) expected.set(writer, (await readFile(file, 'utf8')).trimEnd().split('\n'));
  const [classpath, pythonPath] = [await kafkaClasspath(), await confluentKafkaFolder()];
  broker = await startBrokerUnderTest();
  const target = { bootstrap: broker.bootstrap, topic };
  const kafka = new kafkajs.Kafka({
    brokers: [broker.bootstrap],
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { retries: 30 },
  });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions }] });
  const ends = async (): Promise<Map<number, number>> =>
    new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]));
  const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

  const reporters = [
    ReportingProducer.verifiable(classpath, target, verifiable, reportsPerSecond),
    ReportingProducer.librdkafka(pythonPath, target, librdkafka, reportsPerSecond),
  ];
  const writing = Promise.all([
    kafkaConsoleProducer(classpath, target, files.get(consoleTool)!),
    kcatProducer(target, files.get(kcatTool)!),
  ]);
  const total = sum([...expected.values()].map((lines) => lines.length));
  while (sum((await ends()).values()) < total * 0.4) await sleep(100);
  await broker.kill();
  await broker.restart();
  const [byConsole, byKcat] = await writing;
  outcomes = new Map([
    [consoleTool, byConsole],
    [kcatTool, byKcat],
  ]);
  await sleep(2_000); // the counting programs go on for a while after the kill
  reported = (await Promise.all(reporters.map((reporter) => reporter.stop()))).flat();

  logEnds = await ends();
  const members = mixedGroup({ classpath, pythonPath }, target, group, folder);
  const deadline = Date.now() + 240_000;
  while (sum(members.map(({ lines }) => lines)) < sum(logEnds.values()) || membersSeen < members.length) {
    if (Date.now() > deadline) break;
    const { groups } = await admin.describeGroups([group]);
    membersSeen = Math.max(membersSeen, groups[0]!.members.length);
    await sleep(300);
  }
  await sleep(1_000); // whatever else there is would come now
  await Promise.all(members.map((member) => member.stop()));
  await admin.disconnect();
  await readBack(members.map(({ file }) => file));
}, 600_000);

afterAll(async () => {
  await broker.close();
  await rm(folder, { recursive: true, force: true });
});

/** Goes through everything that the group has read and compares it with what was sent. */
async function readBack(files: readonly string[]): Promise<void> {
  const places = new Map(reported.map(({ partition, offset, value }) => [`${partition}/${offset}`, value]));
  offsetsRead = new Map([...logEnds].map(([partition, end]) => [partition, new Uint8Array(end)]));
  linesRead = new Map([...expected].map(([writer, lines]) => [writer, new Uint8Array(lines.length)]));
  for (const file of files) {
    for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      const [first, second, ...rest] = line.split('\t');
      const partition = Number(first!.replace('Partition:', ''));
      const offset = Number(second!.replace('Offset:', ''));
      const value = rest.join('\t');
      const seen = offsetsRead.get(partition);
      const place = `${partition}/${offset}`;
      if (seen === undefined || !(offset < seen.length)) invented.push(line);
      else if (seen[offset]!++ === 0) count(value);
      const told = places.get(place);
      if (told !== undefined && told !== value) misplaced.push(`${place}: told ${told}, read ${value}`);
    }
  }
}

function count(value: string): void {
  const writer = value.slice(0, 1);
  const lines = expected.get(writer);
  if (lines === undefined) {
    const isCounter = /^r\d+ a line from librdkafka$/.test(value) || /^7\.\d+$/.test(value);
    if (!isCounter) invented.push(value);
    return;
  }
  const index = Number(value.slice(1, value.indexOf(' ')));
  if (lines[index] === value) linesRead.get(writer)![index]!++;
  else invented.push(value);
}

const notRead = (writer: string): string[] =>
  expected.get(writer)!.filter((_, index) => linesRead.get(writer)![index] === 0);

it('writes a corpus of at least 100 MB through the kill', () => {
  const bytes = [...expected.values()].flat().reduce((total, line) => total + Buffer.byteLength(line) + 1, 0);
  expect(bytes).toBeGreaterThanOrEqual(100_000_000);
});

it.each([
  ['kafka-console-producer', consoleTool],
  ['kcat', kcatTool],
])('has every line of %s, which was acknowledged', (_, writer) => {
  expect(outcomes.get(writer)).toMatchObject({ acknowledged: true });
  expect(notRead(writer).slice(0, 10)).toEqual([]);
});

it('has no line of the idempotent kafka-console-producer twice', () => {
  const twice = expected.get(consoleTool)!.filter((_, index) => linesRead.get(consoleTool)![index]! > 1);
  expect(twice.slice(0, 10)).toEqual([]);
});

it('has nothing that nobody sent', () => {
  expect(invented.slice(0, 10)).toEqual([]);
});

it('has every record whose offset was reported at exactly that offset', () => {
  expect(misplaced.slice(0, 10)).toEqual([]);
  for (const reporter of [/^7\./, /^r/]) {
    const told = reported.filter(({ value }) => reporter.test(value));
    expect(told.length).toBeGreaterThan(reportsPerSecond);
    const unread = told.filter(({ partition, offset }) => offsetsRead.get(partition)?.[offset] === 0);
    expect(unread.slice(0, 10)).toEqual([]);
  }
});

it('has every offset up to the end of each partition, read by a group of three', () => {
  expect(membersSeen).toBe(3);
  for (const [partition, seen] of offsetsRead) {
    const missing = [...seen.entries()].filter(([, times]) => times === 0).map(([offset]) => `${partition}/${offset}`);
    expect(missing.slice(0, 10)).toEqual([]);
  }
});
