/**
 * The newest report of each broker's load, and how old it is. From the one before it comes how fast counters rise. Reports come from
 * outside: what is kept of them is bounded, and one that makes no sense is refused.
 */
import type { MetricsReport } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';

export interface BrokerLoad {
  readonly brokerId: number;
  /** Since the report arrived. */
  readonly ageMs: number;
  readonly gauges: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
  /** How fast each counter rose between the last two reports, per second; empty before the second. */
  readonly rates: Readonly<Record<string, number>>;
}

interface Kept {
  readonly report: MetricsReport;
  readonly atMs: number;
  readonly rates: Readonly<Record<string, number>>;
}

const maxBrokers = 1_000;
const maxMetrics = 500;
const maxNameLength = 200;

export class LoadReports {
  readonly #clock: Clock;
  /** By cluster and broker id. */
  readonly #clusters = new Map<string, Map<number, Kept>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False when the report cannot be one, or there is no room for another broker. */
  add(cluster: string, report: MetricsReport): boolean {
    const brokers = this.#clusters.get(cluster) ?? new Map<number, Kept>();
    const before = brokers.get(report.brokerId);
    if (!isSane(report) || (before === undefined && brokers.size >= maxBrokers)) return false;
    const atMs = this.#clock.monotonicMs();
    brokers.set(report.brokerId, { report, atMs, rates: before === undefined ? {} : ratesOf(before, report) });
    this.#clusters.set(cluster, brokers);
    return true;
  }

  /** Of the cluster's brokers that reported within `maxAgeMs`, in ascending order of ids. */
  of(cluster: string, maxAgeMs = Infinity): readonly BrokerLoad[] {
    const nowMs = this.#clock.monotonicMs();
    return [...(this.#clusters.get(cluster) ?? [])]
      .map(
        ([
          brokerId,
          {
            report: { gauges, counters },
            atMs,
            rates,
          },
        ]) => {
          return { brokerId, ageMs: nowMs - atMs, gauges, counters, rates };
        },
      )
      .filter(({ ageMs }) => ageMs <= maxAgeMs)
      .sort((left, right) => left.brokerId - right.brokerId);
  }

  /** The broker is gone, or with no id the whole cluster. */
  forget(cluster: string, brokerId?: number): void {
    const brokers = this.#clusters.get(cluster);
    if (brokerId === undefined) this.#clusters.delete(cluster);
    else if (brokers?.delete(brokerId) === true && brokers.size === 0) this.#clusters.delete(cluster);
  }

  /** Drops what nobody added to for so long: brokers that are gone without a word. */
  expire(maxAgeMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [cluster, brokers] of this.#clusters) {
      for (const [brokerId, { atMs }] of brokers) if (nowMs - atMs > maxAgeMs) this.forget(cluster, brokerId);
    }
  }
}

function isSane({ brokerId, timestampMs, gauges, counters }: MetricsReport): boolean {
  const entries = [...Object.entries(gauges), ...Object.entries(counters)];
  if (brokerId < 0 || timestampMs <= 0 || entries.length > maxMetrics) return false;
  return entries.every(([name, value]) => name.length <= maxNameLength && Number.isFinite(value));
}

/** By the broker's own clock. A counter that went back began anew with its process: what it counts since then is what it rose by. */
function ratesOf({ report: before, rates }: Kept, now: MetricsReport): Readonly<Record<string, number>> {
  const seconds = (now.timestampMs - before.timestampMs) / 1_000;
  if (seconds <= 0) return rates;
  const rises = Object.entries(now.counters).map(([name, value]) => {
    const was = before.counters[name] ?? 0;
    return [name, (value >= was ? value - was : value) / seconds] as const;
  });
  return Object.fromEntries(rises);
}
