/** A whole broker and what is run beside it or instead of it: verify, restore, and rebuild after its metadata was lost. */
import { jest } from '@jest/globals';
import { brokerConfigSchema, readRecords, splitBatches, type BrokerConfig } from '@kafscale/protocol';
import { cryptoRandom } from '@kafscale/runtime';
import { eventually } from '@kafscale/testkit';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  batch,
  BrokerFixture,
  createTopic,
  LeapingClock,
  leaderEpochOf,
  produceTo,
  readAll,
} from './broker-fixture.ts';
import { rebuildStores, restoreFromStores, verifyStores } from './maintenance.ts';

jest.setTimeout(60_000);

const settings = { checkpointIntervalMs: 1_000, garbageIntervalMs: 1_000 };
const valuesIn = (bytes: Buffer) =>
  splitBatches(bytes).batches.flatMap((one) => [...readRecords(one, 1 << 20)].map(({ value }) => String(value)));

describe('beside a broker', () => {
  const fixture = new BrokerFixture();
  const clock = new LeapingClock();
  const dependencies = { clock, random: cryptoRandom };

  afterEach(() => fixture.closeAll());

  const configOf = (dataDir: string): BrokerConfig => brokerConfigSchema.parse({ dataDir });

  /** Two topics with records, a checkpoint, and a stopped broker. */
  const leaveRecords = async (dataDir: string): Promise<readonly string[]> => {
    const broker = await fixture.start({ dataDir, config: settings });
    const client = await fixture.connect(broker);
    const topicId = await createTopic(client, 't', 2, { 'retention.ms': '123456789' });
    await createTopic(client, 'u');
    for (const value of ['a', 'b', 'c']) expect((await produceTo(client, 't', 0, batch([value]))).errorCode).toBe(0);
    expect((await produceTo(client, 't', 1, batch(['d', 'e']))).errorCode).toBe(0);
    const checkpoints = join(dataDir, 'objects', 'default', 'cluster', 'checkpoints');
    const hasCheckpoint = async () => (await readdir(checkpoints).catch(() => [])).length > 0;
    await eventually('a checkpoint', hasCheckpoint, 20_000);
    expect((await produceTo(client, 'u', 0, batch(['after the checkpoint']))).errorCode).toBe(0);
    await client.close();
    await broker.close();
    return [topicId];
  };

  it('verify finds everything whole, and a byte that flipped', async () => {
    const dataDir = await fixture.folder();
    await leaveRecords(dataDir);
    const report = await verifyStores(configOf(dataDir), dependencies, {});
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ topics: 2, partitions: 3, records: 6 });

    const flushes = join(dataDir, 'objects', 'default', 'flush');
    const [folder] = await readdir(flushes);
    const [file] = await readdir(join(flushes, folder!));
    const path = join(flushes, folder!, file!);
    const bytes = await readFile(path);
    bytes[40]! ^= 1;
    await rm(path);
    await writeFile(path, bytes);
    const { findings } = await verifyStores(configOf(dataDir), dependencies, {});
    expect(findings).toEqual([
      expect.objectContaining({ kind: 'damaged', object: `default/flush/${folder!}/${file!}` }),
    ]);
  });

  it('restore makes a topic that a broker serves', async () => {
    const dataDir = await fixture.folder();
    await leaveRecords(dataDir);
    const request = { topic: 't', targetTopic: 'restored', toMs: clock.wallMs() };
    expect(await restoreFromStores(configOf(dataDir), dependencies, request)).toMatchObject({
      partitions: 2,
      records: 5,
    });
    const client = await fixture.connect(await fixture.start({ dataDir, config: settings }));
    expect(valuesIn(await readAll(client, 'restored', 0))).toEqual(['a', 'b', 'c']);
    expect(valuesIn(await readAll(client, 'restored', 1))).toEqual(['d', 'e']);
    expect((await produceTo(client, 'restored', 0, batch(['f']))).baseOffset).toBe(3);
    expect((await produceTo(client, 't', 0, batch(['g']))).baseOffset).toBe(3);
  });

  it('rebuild brings a lost metadata store back, and no broker starts before', async () => {
    const dataDir = await fixture.folder();
    const [topicId] = await leaveRecords(dataDir);
    await rm(join(dataDir, 'metadata'), { recursive: true });
    await expect(fixture.start({ dataDir })).rejects.toThrow(/kafscale rebuild/);
    const confirm = () => true;
    await expect(rebuildStores(configOf(dataDir), dependencies, { confirm })).rejects.toThrow(/Stop every broker/);
    clock.leap(60_000);
    const { plan } = await rebuildStores(configOf(dataDir), dependencies, { confirm });
    expect(plan.summary).toMatchObject({
      topics: 2,
      partitions: 3,
      faults: [],
      warnings: [],
      topicsWithoutSettings: [],
    });

    const client = await fixture.connect(await fixture.start({ dataDir, config: settings }));
    expect(valuesIn(await readAll(client, 't', 0))).toEqual(['a', 'b', 'c']);
    expect(valuesIn(await readAll(client, 't', 1))).toEqual(['d', 'e']);
    expect(valuesIn(await readAll(client, 'u', 0))).toEqual(['after the checkpoint']);
    expect((await produceTo(client, 't', 0, batch(['f']))).baseOffset).toBe(3);
    expect(await leaderEpochOf(client, 't')).toBeGreaterThan(0);
    expect(topicId).toBeDefined();
  });

  it('garbage goes while records are produced, folded and read, and nothing else does', async () => {
    const dataDir = await fixture.folder();
    const config = {
      ...settings,
      garbageGraceMs: 0,
      garbageReaderGraceMs: 0,
      foldAfterMs: 100,
      segmentBytes: 64 * 1024,
    };
    const flushCount = async () => (await filesBelow(join(dataDir, 'objects', 'default', 'flush'))).length;
    const expected: string[] = [];
    let produced = 0;
    for (let life = 0; life < 2; life += 1) {
      const broker = await fixture.start({ dataDir, config });
      const client = await fixture.connect(broker);
      if (life === 0) await createTopic(client, 't');
      const produce = async () => {
        const value = `${produced}`.padEnd(4_000, 'x');
        expect((await produceTo(client, 't', 0, batch([value]))).baseOffset).toBe(produced);
        expected.push(value);
        produced += 1;
      };
      for (let count = 0; count < 40; count += 1) await produce();
      await eventually(
        'that folded flush objects are gone',
        async () => {
          await produce();
          return (await flushCount()) < produced / 2;
        },
        40_000,
      );
      expect(valuesIn(await readAll(client, 't', 0))).toEqual(expected);
      await client.close();
      await broker.close();
    }
    const { findings } = await verifyStores(configOf(dataDir), dependencies, {});
    expect(findings).toEqual([]);

    await rm(join(dataDir, 'metadata'), { recursive: true });
    clock.leap(60_000);
    const { plan } = await rebuildStores(configOf(dataDir), dependencies, { confirm: () => true });
    expect(plan.summary).toMatchObject({ faults: [], warnings: [] });
    expect((await verifyStores(configOf(dataDir), dependencies, {})).findings).toEqual([]);
    const client = await fixture.connect(await fixture.start({ dataDir, config: settings }));
    expect(valuesIn(await readAll(client, 't', 0))).toEqual(expected);
    expect((await produceTo(client, 't', 0, batch(['more']))).baseOffset).toBe(produced);
  });
});

const filesBelow = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((one) => one.isFile())
    .map(({ name }) => name);
