import { AcceptLimits } from './accept-limits.ts';

describe('AcceptLimits', () => {
  const settings = { maxConnections: 3, maxConnectionsPerIp: 2, maxConnectionsPerSecond: 10 };

  it('refuses above the number for one address, then above the total', () => {
    const limits = new AcceptLimits(settings, 0);
    expect(['a', 'a', 'a', 'b', 'c'].map((address) => limits.admit(address))).toEqual([
      undefined,
      undefined,
      'address',
      undefined,
      'total',
    ]);
    limits.leave('a');
    expect([limits.admit('a'), limits.total]).toEqual([undefined, 3]);
  });

  it('starts a burst of one second, then as many as time allows', () => {
    const limits = new AcceptLimits(settings, 0);
    const startable = (nowMs: number): number => {
      let started = 0;
      while (limits.tryStart(nowMs)) started += 1;
      return started;
    };
    expect([startable(0), startable(50), startable(100), startable(1_000), startable(60_000)]).toEqual([
      10, 0, 1, 9, 10,
    ]);
  });
});
