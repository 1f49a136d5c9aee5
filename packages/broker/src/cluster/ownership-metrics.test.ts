/** The metrics of owners and of the controller, as brokers that live through it count them. */
import { clusterMembers, sessionTtlMs, type Member } from './cluster-members-fixture.ts';

/** Samples of one metric by their labels, without those that are 0. */
async function samples({ metrics }: Member, name: string): Promise<Record<string, number>> {
  const { text } = await metrics.scrape();
  const lines = [...text.matchAll(/^kafscale_(\w+)(?:\{(.*)\})? (\S+)$/gm)];
  return Object.fromEntries(
    lines
      .filter(([, found, , value]) => found === name && value !== '0')
      .map(([, , labels = '', value]) => [labels, Number(value)]),
  );
}

describe('the metrics of owners', () => {
  const shards = 16;

  it('count what is handed to a broker that comes, and how long it was out of service', async () => {
    const { start, putTopic, counts, until, closeAll } = clusterMembers();
    const first = await start('first');
    await putTopic('t', 8);
    await until(() => counts()[0] === 8);
    first.barrierMs = 300;
    const second = await start('second');
    await until(() => counts().join() === '4,4' && second.shards.phases.open === shards / 2);

    expect(await samples(first, 'handovers_total')).toEqual({
      'kind="topic",direction="given"': 4,
      'kind="group_shard",direction="given"': shards / 2,
    });
    expect(await samples(second, 'handovers_total')).toEqual({
      'kind="topic",direction="received"': 4,
      'kind="group_shard",direction="received"': shards / 2,
    });
    expect(await samples(first, 'handover_duration_seconds_count')).toMatchObject({ 'kind="topic"': 4 });
    const { 'kind="topic"': seconds } = await samples(first, 'handover_duration_seconds_sum');
    expect(seconds).toBeGreaterThanOrEqual(4 * 0.3);
    expect(seconds).toBeLessThan(4 * 0.5);
    expect(await samples(second, 'takeovers_total')).toEqual({});
    expect(await samples(second, 'takeover_duration_seconds_count')).toMatchObject({ 'kind="topic"': 4 });
    expect(first.ownership.phases).toEqual({ opening: 0, open: 4, leaving: 0 });
    await closeAll();
  });

  it('count what is taken from a broker that died, and who became the controller', async () => {
    const { start, putTopic, counts, until, closeAll } = clusterMembers();
    const [first, second] = [await start('first'), await start('second')];
    await putTopic('t', 8);
    await until(() => counts().join() === '4,4');
    expect(await samples(first, 'controller_elections_total')).toEqual({ '': 1 });
    expect(await samples(second, 'controller_elections_total')).toEqual({});
    expect(second.ownership.census()).toEqual({ wanted: 0, unowned: 0, misplaced: 0 });
    const written = (await samples(second, 'assignments_written_total'))[''] ?? 0;
    first.kill();
    await until(() => counts()[0] === 8, 3 * sessionTtlMs);
    expect(await samples(second, 'takeovers_total')).toMatchObject({ 'kind="topic"': 4 });
    expect(await samples(second, 'handovers_total')).not.toHaveProperty('kind="topic",direction="received"');
    expect(await samples(second, 'controller_elections_total')).toEqual({ '': 1 });
    expect((await samples(second, 'assignments_written_total'))['']).toBeGreaterThan(written);
    await closeAll();
  });
});
