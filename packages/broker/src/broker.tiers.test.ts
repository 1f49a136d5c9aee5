import { eventually } from '@kafscale/testkit';
import { batch, BrokerFixture, createTopic, produceTo, readAll } from './broker-fixture.ts';

const fixture = new BrokerFixture();
afterEach(() => fixture.closeAll());

/** Folds nearly at once. */
const config = { foldAfterMs: 100, segmentBytes: 64 * 1_024, hotTailBytes: 0 };

const metricOf = async (port: number, name: string): Promise<number> => {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.split(' ')[1] ?? Number.NaN);
};

describe('a broker that folds', () => {
  it('gives back every byte after it was moved, and after a restart', async () => {
    const dataDir = await fixture.folder();
    const broker = await fixture.start({ dataDir, config });
    const client = await fixture.connect(broker);
    await createTopic(client, 'orders', 3);
    for (let round = 0; round < 30; round += 1) {
      for (let partition = 0; partition < 3; partition += 1) {
        const value = 'v'.repeat(partition === 0 ? 6_000 : 200);
        const { errorCode } = await produceTo(client, 'orders', partition, batch([`${round}`, value]));
        expect(errorCode).toBe(0);
      }
    }
    const before = await Promise.all([0, 1, 2].map((partition) => readAll(client, 'orders', partition)));
    const unfolded = () => metricOf(broker.metricsPort, 'kafscale_unfolded_extents');
    await eventually('everything is folded', async () => (await unfolded()) === 0);
    expect(await metricOf(broker.metricsPort, 'kafscale_folded_bytes_total')).toBeGreaterThan(30 * 6_000);
    for (const partition of [0, 1, 2]) {
      expect((await readAll(client, 'orders', partition)).equals(before[partition]!)).toBe(true);
    }
    await broker.close();

    const again = await fixture.start({ dataDir, config });
    const other = await fixture.connect(again);
    for (const partition of [0, 1, 2]) {
      expect((await readAll(other, 'orders', partition)).equals(before[partition]!)).toBe(true);
    }
    const { baseOffset } = await produceTo(other, 'orders', 0, batch(['next']));
    expect(baseOffset).toBe(60);
  }, 60_000);
});
