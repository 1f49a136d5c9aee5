/**
 * Kills on a file system that forgets what was not fsynced, as a machine does that loses its power: every acknowledged record and
 * committed offset is there after it all the same.
 */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '@kafscale/runtime';
import { KafScaleServer } from '@kafscale/testkit';
import { tmpdir } from 'node:os';
import { History } from '../kills/history.ts';
import { ForgetfulDisk } from './forgetful-disk.ts';

const powerCuts = 12;
const latestCutMs = 600;
const seed = Number(process.env['KAFSCALE_SEED'] ?? 1);

let disk: ForgetfulDisk;

beforeAll(async () => {
  disk = await ForgetfulDisk.create();
}, 120_000);

afterAll(() => disk.close());

it('the disk forgets what was not fsynced, and nothing else', async () => {
  const [kept, forgotten] = [join(disk.mountPoint, 'kept'), join(disk.mountPoint, 'forgotten')];
  const file = await open(kept, 'w');
  await file.writeFile('kept');
  await file.sync();
  await file.close();
  const folder = await open(disk.mountPoint, 'r');
  await folder.sync();
  await folder.close();
  await writeFile(forgotten, 'forgotten');
  await disk.cutPower();
  expect(await readFile(kept, 'utf8')).toBe('kept');
  await expect(readFile(forgotten, 'utf8')).rejects.toMatchObject({ code: 'ENOENT' });
});

describe('a broker on such a disk', () => {
  const history = new History(seed);
  let broker: KafScaleServer;

  beforeAll(async () => {
    const logFile = join(tmpdir(), `kafscale-forgetful-${process.pid}.log`);
    broker = await KafScaleServer.start({ dataFolder: join(disk.mountPoint, 'data'), logFile });
    await history.prepare(broker.port);
  }, 60_000);

  afterAll(() => broker.close());

  it.each(Array.from({ length: powerCuts }, (_, index) => index))(
    `keeps what it acknowledged through power cut %i of seed ${seed}`,
    async (index) => {
      const before = history.acknowledgedRecords;
      const running = history.runUntilKilled(broker.port);
      while (history.acknowledgedRecords === before) await sleep(5);
      await sleep(seededRandom(seed * 3_000 + index).int(latestCutMs));
      await broker.kill();
      await disk.cutPower();
      await running;
      await broker.restart();
      expect(await history.verify(broker.port)).toEqual([]);
    },
  );
});
