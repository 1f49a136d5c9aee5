import type { MetricsReport } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { LoadReports } from './load-reports.ts';

const report = (brokerId: number, atMs: number, counters = {}, gauges = {}): MetricsReport => ({
  ...{ brokerId, timestampMs: 1_000_000 + atMs, counters, gauges },
});

describe('reports of load', () => {
  const setUp = () => {
    const clock = new FakeClock();
    return { clock, reports: new LoadReports(clock) };
  };

  it('are the newest of each broker, with their age', async () => {
    const { clock, reports } = setUp();
    reports.add('a', report(1, 0, {}, { load: 1 }));
    reports.add('a', report(0, 0));
    reports.add('b', report(7, 0));
    await clock.advanceAsync(4_000);
    reports.add('a', report(1, 4_000, {}, { load: 2 }));
    expect(reports.of('a')).toMatchObject([
      { brokerId: 0, ageMs: 4_000 },
      { brokerId: 1, ageMs: 0, gauges: { load: 2 } },
    ]);
    expect(reports.of('a', 1_000).map(({ brokerId }) => brokerId)).toEqual([1]);
    expect(reports.of('nobody')).toEqual([]);
  });

  it('tell how fast counters rise, also over a restart of the broker', () => {
    const { reports } = setUp();
    reports.add('a', report(1, 0, { bytes: 100 }));
    expect(reports.of('a')[0]!.rates).toEqual({});
    reports.add('a', report(1, 5_000, { bytes: 600, requests: 10 }));
    expect(reports.of('a')[0]!.rates).toEqual({ bytes: 100, requests: 2 });
    reports.add('a', report(1, 10_000, { bytes: 50 }));
    expect(reports.of('a')[0]!.rates).toEqual({ bytes: 10 });
    // A clock that went back says nothing of rates.
    reports.add('a', report(1, 9_000, { bytes: 60 }));
    expect(reports.of('a')[0]!.rates).toEqual({ bytes: 10 });
  });

  it('are refused when they cannot be reports', () => {
    const { reports } = setUp();
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, index) => [`m${index}`, 1]));
    for (const wrong of [report(-1, 0), report(0, -2_000_000), report(0, 0, many), report(0, 0, { x: NaN })]) {
      expect(reports.add('a', wrong)).toBe(false);
    }
    expect(reports.add('a', report(0, 0, { ['x'.repeat(300)]: 1 }))).toBe(false);
    for (let brokerId = 0; brokerId < 1_000; brokerId += 1) reports.add('a', report(brokerId, 0));
    expect(reports.add('a', report(1_000, 0))).toBe(false);
    expect(reports.add('a', report(5, 1_000))).toBe(true);
    expect(reports.add('b', report(1_000, 0))).toBe(true);
  });

  it('are forgotten with their broker, and by themselves after a while', async () => {
    const { clock, reports } = setUp();
    reports.add('a', report(0, 0));
    reports.add('a', report(1, 0));
    reports.forget('a', 0);
    expect(reports.of('a')).toHaveLength(1);
    await clock.advanceAsync(1_000);
    reports.add('b', report(1, 0));
    reports.expire(500);
    expect([reports.of('a').length, reports.of('b').length]).toEqual([0, 1]);
    reports.forget('b');
    expect(reports.of('b')).toEqual([]);
  });
});
