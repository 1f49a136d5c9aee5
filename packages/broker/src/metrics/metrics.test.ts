import { apis } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { metricDefinitions, type MetricDefinition } from './metric-definitions.ts';
import { createMetrics } from './metrics.ts';
import { reportProcess } from './process-metrics.ts';
import { RateWindow } from './rate-window.ts';
import { RequestMetrics } from './request-metrics.ts';

const definitions: readonly MetricDefinition[] = Object.values(metricDefinitions);

describe('the metrics of the broker', () => {
  it('are all in the table, under the name and kind the table gives', async () => {
    const clock = new FakeClock();
    const metrics = createMetrics();
    const stop = reportProcess(metrics, clock);
    const requests = new RequestMetrics(metrics, clock);
    for (const api of apis) {
      requests.received(api, 0);
      requests.answered(api, 1);
      requests.failed(api, -1);
    }
    const { text } = await metrics.scrape();
    stop();
    const printed = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => `${name!} ${type!}`);
    expect(printed.sort()).toEqual(definitions.map(({ name, type }) => `${name} ${type}`).sort());
  });

  it('have the names that dashboards ask for', () => {
    expect(definitions.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'kafscale_produce_requests_total',
        'kafscale_fetch_requests_total',
        'kafscale_s3_upload_duration_seconds',
        'kafscale_s3_upload_duration_ms',
        'kafscale_s3_download_duration_ms',
        'kafscale_segment_flush_duration_seconds',
        'kafscale_cache_hit_ratio',
        'kafscale_s3_health_state',
        'kafscale_s3_latency_ms_avg',
        'kafscale_s3_error_rate',
        'kafscale_s3_state_duration_seconds',
        'kafscale_produce_rps',
        'kafscale_fetch_rps',
        'kafscale_produce_latency_ms',
        'kafscale_consumer_lag',
        'kafscale_consumer_lag_max',
        'kafscale_broker_uptime_seconds',
        'kafscale_broker_cpu_percent',
        'kafscale_broker_mem_alloc_bytes',
        'kafscale_broker_mem_sys_bytes',
        'kafscale_broker_heap_inuse_bytes',
        'kafscale_admin_requests_total',
        'kafscale_admin_request_errors_total',
        'kafscale_admin_request_latency_ms_avg',
      ]),
    );
  });

  it('say their unit or what they count in their name', () => {
    for (const { name, type } of definitions) {
      if (type === 'counter') expect(name).toMatch(/_total$/);
      else expect(name).not.toMatch(/_total$/);
    }
  });

  it('count what a request was and how it ended', async () => {
    const metrics = createMetrics();
    const requests = new RequestMetrics(metrics, new FakeClock());
    const createTopics = apis.find(({ name }) => name === 'CreateTopics')!;
    requests.received(createTopics, 0);
    requests.failed(createTopics, -1);
    requests.answered(createTopics, 20);
    const { text } = await metrics.scrape();
    expect(text).toContain('kafscale_admin_requests_total{api="CreateTopics"} 1');
    expect(text).toContain('kafscale_request_errors_total{api="CreateTopics",error="UNKNOWN_SERVER_ERROR"} 1');
    expect(text).toContain('kafscale_request_duration_seconds_bucket{le="0.025",api="CreateTopics"} 1');
    expect(text).toContain('kafscale_request_duration_seconds_bucket{le="0.01",api="CreateTopics"} 0');
  });
});

describe('what dashboards ask of a window', () => {
  it('is the mean latency of the admin requests of the last minute', async () => {
    const clock = new FakeClock();
    const metrics = createMetrics();
    const requests = new RequestMetrics(metrics, clock);
    const createTopics = apis.find(({ name }) => name === 'CreateTopics')!;
    const shown = async () => /latency_ms_avg\{api="CreateTopics"\} (\S+)/.exec((await metrics.scrape()).text)?.[1];
    requests.answered(createTopics, 20);
    requests.answered(createTopics, 40);
    expect(await shown()).toBe('30');
    clock.advance(61_000);
    expect(await shown()).toBe('0');
  });

  it('is the largest lag since the last scrape, and how often there was which', async () => {
    const metrics = createMetrics();
    for (const lag of [0, 7, 2]) metrics.sawConsumerLag(lag);
    const { text } = await metrics.scrape();
    expect(text).toContain('kafscale_consumer_lag_max 7');
    expect(text).toContain('kafscale_consumer_lag_bucket{le="1"} 1');
    expect(text).toContain('kafscale_consumer_lag_bucket{le="10"} 3');
    expect((await metrics.scrape()).text).toContain('kafscale_consumer_lag_max 0');
  });

  it('is told to each of those who ask, whoever comes first', async () => {
    const metrics = createMetrics();
    metrics.sawConsumerLag(7);
    const largest = async () => (await metrics.totals()).gauges['kafscale_consumer_lag_max'];
    expect([await largest(), await largest()]).toEqual([7, 0]);
    expect((await metrics.scrape()).text).toContain('kafscale_consumer_lag_max 7');
  });
});

describe('RateWindow', () => {
  it('gives the mean of the last minute, or of the time since the start', () => {
    const clock = new FakeClock();
    const rate = new RateWindow(clock);
    for (let event = 0; event < 30; event += 1) rate.add(clock.monotonicMs());
    clock.advance(9_000);
    expect(rate.perSecond()).toBe(3);
    clock.advance(50_000);
    expect(rate.perSecond()).toBe(0.5);
    clock.advance(1_000);
    expect(rate.perSecond()).toBe(0);
  });

  it('forgets everything after a minute without events', () => {
    const clock = new FakeClock();
    const rate = new RateWindow(clock);
    rate.add(0);
    clock.advance(3_600_000);
    expect(rate.perSecond()).toBe(0);
    rate.add(clock.monotonicMs());
    expect(rate.perSecond()).toBe(1 / 60);
  });
});
