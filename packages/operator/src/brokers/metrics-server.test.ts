import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { MetricsReport } from '@kafscale/protocol';
import { silentLogger, systemClock } from '@kafscale/runtime';
import { eventually } from '@kafscale/testkit';
import { loadControlApi } from './control-api.ts';
import { LoadReports } from './load-reports.ts';
import { MetricsServer } from './metrics-server.ts';

const report = (brokerId: number, gauges: Readonly<Record<string, number>> = {}): MetricsReport => ({
  ...{ brokerId, timestampMs: 1, gauges, counters: {} },
});

describe('where brokers push their load', () => {
  let server: MetricsServer;
  let reports: LoadReports;
  const clients: Client[] = [];

  beforeEach(async () => {
    reports = new LoadReports(systemClock);
    server = await MetricsServer.start({
      ...{ address: '127.0.0.1:0', reports, clock: systemClock, logger: silentLogger },
      clusterOf: (token) => Promise.resolve({ 'token-a': 'ns/a', 'token-b': 'ns/b' }[token]),
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await server.close();
  });

  function push(authorization: string | undefined) {
    const { path, requestSerialize, responseDeserialize } = loadControlApi().brokerControl['StreamMetrics']!;
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    clients.push(client);
    const metadata = new Metadata();
    if (authorization !== undefined) metadata.set('authorization', authorization);
    const outcome: { error?: ServiceError | null } = {};
    const call = client.makeClientStreamRequest<MetricsReport, unknown>(
      ...([path, requestSerialize, responseDeserialize, metadata] as const),
      (error) => (outcome.error = error),
    );
    return { call, outcome };
  }

  it('keeps the newest report of each broker, under the cluster whose token it came with', async () => {
    const [first, second] = [push('Bearer token-a'), push('Bearer token-b')];
    first.call.write(report(0, { load: 1 }));
    first.call.write(report(0, { load: 2 }));
    second.call.write(report(0, { load: 9 }));
    await eventually(
      'both have arrived',
      () => reports.of('ns/a')[0]?.gauges['load'] === 2 && reports.of('ns/b').length === 1,
    );
    expect(reports.of('ns/b')[0]!.gauges).toEqual({ load: 9 });
    first.call.end();
    await eventually('the broker is told', () => first.outcome.error === null);
  });

  it.each([[undefined], ['Bearer token-c'], ['token-a'], ['Bearer token-ax']])(
    'takes nothing from %s',
    async (given) => {
      const { call, outcome } = push(given);
      call.write(report(0));
      await eventually('it is refused', () => outcome.error !== undefined);
      expect(outcome.error).toMatchObject({ code: status.UNAUTHENTICATED });
      expect(reports.of('ns/a')).toEqual([]);
    },
  );

  it('ends a stream that sends what is no report', async () => {
    const { call, outcome } = push('Bearer token-a');
    call.write(report(-1));
    await eventually('it is refused', () => outcome.error !== undefined);
    expect(outcome.error).toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it('ends a stream whose reports are too large', async () => {
    const { call, outcome } = push('Bearer token-a');
    call.write(report(0, { ['x'.repeat(100_000)]: 1 }));
    await eventually('it is refused', () => outcome.error !== undefined);
    expect(reports.of('ns/a')).toEqual([]);
  });

  it('closes although streams are open', async () => {
    const { call, outcome } = push('Bearer token-a');
    call.write(report(0));
    await eventually('it has arrived', () => reports.of('ns/a').length === 1);
    await server.close();
    await eventually('the broker is told', () => outcome.error !== undefined);
  });
});
