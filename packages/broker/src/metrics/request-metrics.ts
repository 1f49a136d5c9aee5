/** What is counted of every request: how many of which API, how long, how many failed. */
import { describeError, fetch, produce, type ErrorCode } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { BrokerMetrics } from './metrics.ts';
import { RateWindow } from './rate-window.ts';

/** APIs that change or describe the cluster rather than carry records. */
const adminApis: ReadonlySet<string> = new Set([
  'CreateTopics',
  'DeleteTopics',
  'CreatePartitions',
  'DeleteRecords',
  'DescribeConfigs',
  'AlterConfigs',
  'IncrementalAlterConfigs',
  'DescribeCluster',
  'DescribeTopicPartitions',
  'DescribeLogDirs',
  'DescribeGroups',
  'ListGroups',
  'DeleteGroups',
  'OffsetDelete',
  'AlterPartitionReassignments',
  'ListPartitionReassignments',
  'ElectLeaders',
  'DescribeAcls',
  'CreateAcls',
  'DeleteAcls',
  'DescribeClientQuotas',
  'AlterClientQuotas',
  'DescribeUserScramCredentials',
  'AlterUserScramCredentials',
]);

interface ApiInstruments {
  readonly name: string;
  readonly duration: { observe(seconds: number): void };
  readonly admin: AdminInstruments | undefined;
}

interface AdminInstruments {
  readonly requests: { inc(): void };
  readonly answered: RateWindow;
  readonly tookMs: RateWindow;
}

interface CountedApi {
  readonly key: number;
  readonly name: string;
}

export class RequestMetrics {
  readonly #metrics: BrokerMetrics;
  readonly #clock: Clock;
  readonly #apis: (ApiInstruments | undefined)[] = [];
  readonly #produceRate: RateWindow;
  readonly #fetchRate: RateWindow;
  readonly #endUpdates: () => void;

  constructor(metrics: BrokerMetrics, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
    this.#produceRate = new RateWindow(clock);
    this.#fetchRate = new RateWindow(clock);
    this.#endUpdates = metrics.beforeScrape(() => {
      metrics.produceRps.set(this.#produceRate.perSecond());
      metrics.fetchRps.set(this.#fetchRate.perSecond());
      for (const instruments of this.#apis) {
        if (instruments?.admin === undefined) continue;
        const { answered, tookMs } = instruments.admin;
        const latencyMs = tookMs.total() / Math.max(1, answered.total());
        metrics.adminRequestLatencyMsAvg.set({ api: instruments.name }, latencyMs);
      }
    });
  }

  /** Nothing is counted any more. */
  close(): void {
    this.#endUpdates();
    this.#metrics.produceRps.set(0);
    this.#metrics.fetchRps.set(0);
  }

  received(api: CountedApi, nowMs: number): void {
    if (api.key === produce.key) {
      this.#metrics.produceRequests.inc();
      this.#produceRate.add(nowMs);
    } else if (api.key === fetch.key) {
      this.#metrics.fetchRequests.inc();
      this.#fetchRate.add(nowMs);
    } else {
      this.#of(api).admin?.requests.inc();
    }
  }

  answered(api: CountedApi, durationMs: number): void {
    const { duration, admin } = this.#of(api);
    duration.observe(durationMs / 1_000);
    if (admin !== undefined) {
      const nowMs = this.#clock.monotonicMs();
      admin.answered.add(nowMs);
      admin.tookMs.add(nowMs, durationMs);
    }
    if (api.key === produce.key) this.#metrics.produceLatencyMs.observe(durationMs);
  }

  failed(api: CountedApi, error: ErrorCode): void {
    this.#metrics.requestErrors.inc({ api: api.name, error: describeError(error).name });
    if (this.#of(api).admin !== undefined) this.#metrics.adminRequestErrors.inc({ api: api.name });
  }

  #of(api: CountedApi): ApiInstruments {
    return (this.#apis[api.key] ??= {
      name: api.name,
      duration: this.#metrics.requestDurationSeconds.labels({ api: api.name }),
      admin: adminApis.has(api.name)
        ? {
            requests: this.#metrics.adminRequests.labels({ api: api.name }),
            answered: new RateWindow(this.#clock),
            tookMs: new RateWindow(this.#clock),
          }
        : undefined,
    });
  }
}
