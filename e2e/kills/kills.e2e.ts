/**
 * `kill -9` at any moment, and at the named points of the write path: a restart serves every acknowledged record and committed
 * offset from the stores alone. One log lives through all of the kills and is read back whole after each.
 */
import { seededRandom } from '@kafscale/runtime';
import { KafScaleServer } from '@kafscale/testkit';
import { setTimeout as sleep } from 'node:timers/promises';
import { isApacheKafka, startBrokerUnderTest, type BrokerUnderTest } from '../broker-under-test.ts';
import { History } from './history.ts';

/** Apache Kafka takes twelve seconds for each restart and has no named points; a few kills prove that the suite is right. */
const randomKills = isApacheKafka ? 3 : 36;
const killsPerPoint = isApacheKafka ? 0 : 6;
const points = ['after-object', 'before-commit', 'after-commit-before-answer'] as const;
const latestKillMs = 400;
const latestPassing = 60;
const seed = Number(process.env['KAFSCALE_SEED'] ?? 1);

let broker: BrokerUnderTest;
const history = new History(seed);

beforeAll(async () => {
  broker = await startBrokerUnderTest();
  await history.prepare(broker.port);
}, 120_000);

afterAll(() => broker.close());

/** Our own broker, which alone has named points to be killed at. */
function ours(): KafScaleServer {
  if (!(broker instanceof KafScaleServer)) throw new Error('only KafScale kills itself');
  return broker;
}

async function expectEverythingThere(): Promise<void> {
  expect(await history.verify(broker.port)).toEqual([]);
}

describe.each(Array.from({ length: randomKills }, (_, index) => index))(`with seed ${seed}, kill %i`, (index) => {
  const delayMs = 20 + seededRandom(seed * 1_000 + index).int(latestKillMs);

  it(`at ${delayMs} ms loses nothing that was acknowledged and invents nothing`, async () => {
    const running = history.runUntilKilled(broker.port);
    await sleep(delayMs);
    await broker.kill();
    await running;
    await broker.restart();
    await expectEverythingThere();
  });
});

const passings = points.flatMap((point) =>
  Array.from({ length: killsPerPoint }, (_, index) => ({ point, index, seed: seed * 2_000 + index })),
);
if (passings.length > 0) {
  describe.each(passings)(`with seed ${seed}, kill $index $point`, ({ point, seed: pointSeed }) => {
    const passing = 1 + seededRandom(pointSeed).int(latestPassing);

    it(`at passing ${passing} loses nothing that was acknowledged and invents nothing`, async () => {
      const server = ours();
      await server.kill();
      await server.restart({ KAFSCALE_FAILPOINT: `${point}:${passing}` });
      const running = history.runUntilKilled(server.port);
      await Promise.race([server.process.ended(), sleep(30_000, undefined, { ref: false })]);
      expect(server.process.running).toBe(false); // it killed itself, so the point was passed
      await running;
      await server.restart();
      await expectEverythingThere();
    });
  });
}

it('the kills met clients at work', () => {
  expect(history.acknowledgedRecords).toBeGreaterThan(100 * (randomKills + passings.length));
});
