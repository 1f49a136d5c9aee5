/** A program that knows nothing of ours, written from docs/reference/storage-format.md, reads what we store. */
import { encodeRecordBatch, encodeSegmentObject, SegmentIndex, type BatchInput } from '@kafscale/protocol';
import { repositoryFolder, runProgram } from '@kafscale/testkit';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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

function record(offset: number, timestamp: number, key: string | null, value: string | null): ReadRecord {
  return { offset, timestamp, leaderEpoch: 7, key: base64(key), value: base64(value), headers: [] };
}
