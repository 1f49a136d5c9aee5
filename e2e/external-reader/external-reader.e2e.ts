/** A program that knows nothing of ours, written from docs/reference/storage-format.md, reads what we store. */
import {
  encodeRecordBatch,
  encodeSegmentObject,
  metadataApi,
  produce,
  SegmentIndex,
  zeroUuid,
  type BatchInput,
} from '@kafscale/protocol';
import { runProgram } from '@kafscale/runtime';
import { eventually, KafScaleServer, RawClient, repositoryFolder } from '@kafscale/testkit';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const reader = join(repositoryFolder(), 'e2e/external-reader/read_segment.py');
const page = join(repositoryFolder(), 'docs/reference/storage-format.md');

interface ReadRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly leaderEpoch: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly [string, string | null][];
}

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-external-reader-'));
});

afterAll(() => rm(folder, { recursive: true }));

/** What the program prints about an object with these bytes. */
async function read(name: string, bytes: Uint8Array, ...options: readonly string[]): Promise<unknown[]> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  const output = await runProgram('python3', [reader, ...options, path]);
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

/** The bytes of an example of the page, which stand in a block behind its name. */
async function exampleOf(name: string): Promise<Buffer> {
  const [, block = ''] = (await readFile(page, 'utf8')).split(`<!-- ${name} -->`);
  const [, lines = ''] = block.split('```');
  const bytes = lines.split('\n').map((line) => /^ *\d+ {2}((?:[0-9a-f]{2} )*[0-9a-f]{2})/.exec(line)?.[1] ?? '');
  return Buffer.from(bytes.join('').replaceAll(' ', ''), 'hex');
}

const base64 = (text: string | null) => (text === null ? null : Buffer.from(text).toString('base64'));

/** A batch's worth of records, and what a reader should say of them. */
function batchAt(baseOffset: number, count: number, settings: Partial<BatchInput> = {}) {
  const records = Array.from({ length: count }, (_, index) => ({
    timestamp: 1_700_000_000_000 + baseOffset + index * 7,
    key: index % 3 === 0 ? null : `key ${baseOffset + index}`,
    value: index % 5 === 4 ? null : `värde ${'x'.repeat(index * 20)}`,
    headers:
      index % 2 === 0
        ? []
        : [
            { key: 'from', value: 'test' },
            { key: 'none', value: null },
          ],
  }));
  const bytes = encodeRecordBatch({ baseOffset, partitionLeaderEpoch: 4, records, ...settings });
  const expected = records.map(({ timestamp, key, value, headers }, index): ReadRecord => ({
    offset: baseOffset + index,
    timestamp: settings.timestampType === 'LogAppendTime' ? settings.maxTimestamp! : timestamp,
    leaderEpoch: 4,
    key: base64(key),
    value: base64(value),
    headers: headers.map((header) => [header.key, base64(header.value)]),
  }));
  return { bytes, expected };
}

describe('a program written from the description of the format', () => {
  it('reads every record of a segment: plain, gzip, and dated by the broker', async () => {
    const plain = batchAt(5_000_000_000, 40);
    const compressed = batchAt(5_000_000_040, 130, { codec: 'gzip' });
    const dated = batchAt(5_000_000_170, 10, { timestampType: 'LogAppendTime', maxTimestamp: 1_700_000_099_000 });
    const batches = [plain, compressed, dated];
    const segment = encodeSegmentObject({ batches: batches.map(({ bytes }) => bytes), createdMs: 1_700_000_100_000 });
    const records = await read('segment.kfs', Buffer.concat(segment.object));
    expect(records).toEqual(batches.flatMap(({ expected }) => expected));
  });

  it('finds batches by the index', async () => {
    const batches = Array.from({ length: 30 }, (_, index) => batchAt(index * 30, 30).bytes);
    const segment = encodeSegmentObject({ batches, createdMs: 0 });
    const object = Buffer.concat(segment.object);
    const index = Buffer.concat(segment.index);
    const entries = (await read('segment.index', index, '--index')) as { offset: number; position: number }[];
    expect(entries.map(({ offset }) => offset)).toEqual([0, 120, 240, 360, 480, 600, 720, 840]);
    for (const { offset, position } of entries) expect(object.readBigInt64BE(position)).toBe(BigInt(offset));
    expect(entries).toHaveLength(new SegmentIndex(index).entryCount);
  });

  it('reads the example of the page, byte by byte', async () => {
    expect(await read('example.kfs', await exampleOf('example.kfs'))).toEqual([
      record(1_000, 1_700_000_000_000, 'k', 'one'),
      record(1_001, 1_700_000_000_005, null, 'two'),
      record(1_002, 1_700_000_001_000, 'k2', null),
    ]);
    expect(await read('example.index', await exampleOf('example.index'), '--index')).toEqual([
      { offset: 1_000, position: 32, interval: 2 },
      { offset: 1_002, position: 114, interval: 2 },
    ]);
  });

  it('refuses a segment in which a bit flipped', async () => {
    const example = await exampleOf('example.kfs');
    for (const byte of [0, 5, 7, 15, 19, 31, 60, 99, 184, 195, 199]) {
      const changed = Buffer.from(example);
      changed[byte]! ^= 4;
      await expect(read('changed.kfs', changed)).rejects.toThrow('read_segment.py');
    }
  });
});

describe('segments that a broker made', () => {
  it('hold the acknowledged records, for a program that knows only the format', async () => {
    const broker = await KafScaleServer.start({
      env: { KAFSCALE_FOLD_AFTER_MS: '100', KAFSCALE_SEGMENT_BYTES: '65536' },
    });
    try {
      const expected = await fillTopic(broker.port);
      const objects = join(broker.dataFolder, 'objects');
      // Runs that are not yet enough for a segment of their own lie in objects that partitions share.
      await eventually('most records lie in segments', async () => {
        const sizes = await Promise.all((await segmentsIn(objects)).map(async (path) => (await stat(path)).size));
        return sizes.reduce((sum, size) => sum + size, 0) > (batchesProduced / 2) * valueBytes * 0.8;
      });
      const records = await readAll(await segmentsIn(objects));
      expect(records.length).toBeGreaterThan(expected.length / 2);
      const others = records.filter(({ offset, key, value }) => {
        const wanted = expected[offset];
        return wanted?.key !== key || wanted.value !== value;
      });
      expect(others.map(({ offset }) => offset)).toEqual([]);
    } finally {
      await broker.close();
    }
  });
});

async function segmentsIn(objects: string): Promise<string[]> {
  const names = await readdir(objects, { recursive: true });
  const segments = names.filter((path) => path.includes(`/${topic}/0/segment-`) && path.endsWith('.kfs'));
  return segments.map((name) => join(objects, name));
}

/** What the program prints about the segments, each record once: a rewritten one has been in two. */
async function readAll(segments: readonly string[]): Promise<readonly ReadRecord[]> {
  const lines = await runProgram('python3', [reader, ...segments]);
  const records = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ReadRecord);
  return [...new Map(records.map((read) => [read.offset, read])).values()];
}

const topic = 'read-from-outside';
const batchesProduced = 16;
/** More than what a segment of its own takes. */
const valueBytes = 80_000;

/** Creates the topic and produces batches, every other one compressed; answers what the record at each offset is. */
async function fillTopic(port: number) {
  const client = await RawClient.connect({ port });
  await eventually('the topic has a leader', async () => {
    const { topics } = await client.request(metadataApi, 9, {
      topics: [{ topicId: zeroUuid, name: topic }],
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
    return (topics[0]?.partitions[0]?.leaderId ?? -1) >= 0;
  });
  const expected: Pick<ReadRecord, 'key' | 'value'>[] = [];
  for (let index = 0; index < batchesProduced; index += 1) {
    const value = String(index % 10).repeat(valueBytes);
    const records = encodeRecordBatch({
      codec: index % 2 === 0 ? 'none' : 'gzip',
      records: [
        { timestamp: Date.now(), key: `key ${index}`, value },
        { timestamp: Date.now(), key: null, value: `short ${index}` },
      ],
    });
    const { responses } = await client.request(produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: zeroUuid, partitionData: [{ index: 0, records }] }],
    });
    const answer = responses[0]?.partitionResponses[0];
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: index * 2 });
    expected.push({ key: base64(`key ${index}`), value: base64(value) });
    expected.push({ key: null, value: base64(`short ${index}`) });
  }
  await client.close();
  return expected;
}

function record(offset: number, timestamp: number, key: string | null, value: string | null): ReadRecord {
  return { offset, timestamp, leaderEpoch: 7, key: base64(key), value: base64(value), headers: [] };
}
