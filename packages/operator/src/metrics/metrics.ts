/** The operator's instruments, made from the table of definitions, and the text of a scrape. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { metricDefinitions, type MetricDefinition } from './metric-definitions.ts';

type Definitions = typeof metricDefinitions;

type InstrumentOf<Definition extends MetricDefinition> = Definition['type'] extends 'counter'
  ? Counter<Definition['labels'][number]>
  : Definition['type'] extends 'gauge'
    ? Gauge<Definition['labels'][number]>
    : Histogram<Definition['labels'][number]>;

type Instruments = { readonly [Key in keyof Definitions]: InstrumentOf<Definitions[Key]> };

export interface OperatorMetrics extends Instruments {
  /** Runs `update` before every scrape, for gauges that are read rather than counted. */
  beforeScrape(update: () => void): void;
  /** All metrics in Prometheus text format, with its content type. */
  scrape(): Promise<{ readonly contentType: string; readonly text: string }>;
}

export function createOperatorMetrics(): OperatorMetrics {
  const registry = new Registry();
  const updates: (() => void)[] = [];
  const instruments = Object.fromEntries(
    Object.entries(metricDefinitions).map(([key, definition]) => [key, createInstrument(definition, registry)]),
  ) as unknown as Instruments;
  return {
    ...instruments,
    beforeScrape: (update) => void updates.push(update),
    async scrape() {
      for (const update of updates) update();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

function createInstrument(definition: MetricDefinition, registry: Registry) {
  const { name, help, labels } = definition;
  const settings = { name, help, labelNames: [...labels], registers: [registry] };
  if (definition.type === 'counter') return new Counter(settings);
  if (definition.type === 'gauge') return new Gauge(settings);
  return new Histogram({ ...settings, buckets: [...(definition.buckets ?? [])] });
}
