/** The broker's instruments, made from the table of definitions, and the text of a scrape. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { metricDefinitions, type MetricDefinition } from './metric-definitions.ts';

type Definitions = typeof metricDefinitions;

type InstrumentOf<Definition extends MetricDefinition> = Definition['type'] extends 'counter'
  ? Counter<Definition['labels'][number]>
  : Definition['type'] extends 'gauge'
    ? Gauge<Definition['labels'][number]>
    : Histogram<Definition['labels'][number]>;

export type Instruments = { readonly [Key in keyof Definitions]: InstrumentOf<Definitions[Key]> };

export interface MetricTotals {
  readonly gauges: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

export interface BrokerMetrics extends Instruments {
  /** So far behind the high watermark was a consumer, in records. */
  sawConsumerLag(records: number): void;
  /**
   * Runs `update` before every scrape, for gauges that are read rather than counted, until the returned function is called: whoever
   * lives shorter than the process calls it, or is kept for ever.
   */
  beforeScrape(update: () => void): () => void;
  /** All metrics in Prometheus text format, with its content type. */
  scrape(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** Gauges without labels and counters over all labels, by name. */
  totals(): Promise<MetricTotals>;
}

export function createMetrics(): BrokerMetrics {
  const registry = new Registry();
  const updates = new Set<() => void>();
  /** Since each of those who ask was told last: neither takes it from the other. */
  const largestLags = { scrape: 0, totals: 0 };
  const instruments = Object.fromEntries(
    Object.entries(metricDefinitions).map(([key, definition]) => [key, createInstrument(definition, registry)]),
  ) as unknown as Instruments;
  const update = (asker: keyof typeof largestLags) => {
    for (const one of updates) one();
    instruments.consumerLagMax.set(largestLags[asker]);
    largestLags[asker] = 0;
  };
  return {
    ...instruments,
    sawConsumerLag(records) {
      instruments.consumerLag.observe(records);
      largestLags.scrape = Math.max(largestLags.scrape, records);
      largestLags.totals = Math.max(largestLags.totals, records);
    },
    beforeScrape(one) {
      updates.add(one);
      return () => updates.delete(one);
    },
    async scrape() {
      update('scrape');
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
    async totals() {
      update('totals');
      return { gauges: await sums(instruments, 'gauge'), counters: await sums(instruments, 'counter') };
    },
  };
}

/** Of gauges with labels there is no sum that means anything. */
async function sums(instruments: Instruments, type: 'gauge' | 'counter'): Promise<Readonly<Record<string, number>>> {
  const totals: Record<string, number> = {};
  for (const [key, definition] of Object.entries(metricDefinitions) as [keyof Definitions, MetricDefinition][]) {
    if (definition.type !== type || (type === 'gauge' && definition.labels.length > 0)) continue;
    const { values } = await (instruments[key] as Gauge | Counter).get();
    totals[definition.name] = values.reduce((sum, { value }) => sum + value, 0);
  }
  return totals;
}

function createInstrument(definition: MetricDefinition, registry: Registry) {
  const settings = {
    name: definition.name,
    help: definition.help,
    labelNames: [...definition.labels],
    registers: [registry],
  };
  if (definition.type === 'counter') return new Counter(settings);
  if (definition.type === 'gauge') return new Gauge(settings);
  return new Histogram({ ...settings, buckets: [...(definition.buckets ?? [])] });
}
