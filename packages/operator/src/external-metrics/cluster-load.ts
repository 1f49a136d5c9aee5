/**
 * What an autoscaler is told of a cluster: the sum over its brokers of what they reported last, or that it is unknown. Unknown is the
 * answer whenever a ready broker is missing from the sum, since a sum that is too small would take brokers away under load.
 */
import type { BrokerLoad } from '../brokers/load-reports.ts';
import { externalMetrics } from '../resources/broker-autoscaler.ts';

/** The brokers' counter whose rate a metric is. */
const counters: Readonly<Record<string, string>> = {
  [externalMetrics.targetBytesInPerSecond]: 'kafscale_produced_bytes_total',
  [externalMetrics.targetBytesOutPerSecond]: 'kafscale_fetched_bytes_total',
};

export const metricNames: readonly string[] = Object.keys(counters);

export type ClusterLoad =
  { readonly isKnown: true; readonly perSecond: number } | { readonly isKnown: false; readonly why: string };

/** Brokers report every 5 s; one report may get lost. */
export const freshForMs = 15_000;

export function clusterLoad(
  metric: string,
  { loads, readyBrokers }: { readonly loads: readonly BrokerLoad[]; readonly readyBrokers: number },
): ClusterLoad {
  const counter = counters[metric];
  if (counter === undefined) throw new Error(`no metric is named ${metric}`);
  if (readyBrokers === 0) return { isKnown: false, why: 'the cluster has no ready broker' };
  // From the first report of a broker nothing can be said of rates.
  const known = loads.filter(({ ageMs, rates }) => ageMs <= freshForMs && Object.keys(rates).length > 0);
  if (known.length < readyBrokers) {
    return { isKnown: false, why: `${known.length} of ${readyBrokers} ready brokers report their load` };
  }
  return { isKnown: true, perSecond: known.reduce((sum, { rates }) => sum + (rates[counter] ?? 0), 0) };
}
