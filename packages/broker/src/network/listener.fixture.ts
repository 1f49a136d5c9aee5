/** A listener on a free port with handlers of a test's own, for tests and benches of this folder. */
import { brokerConfigSchema } from '@kafscale/protocol';
import { RecordMemory, silentLogger, systemClock, type Clock, type Logger } from '@kafscale/runtime';
import { memoryShares } from '../config/memory-shares.ts';
import type { Handler } from '../handlers/define-handler.ts';
import { HandlerRegistry } from '../handlers/registry.ts';
import type { Services } from '../handlers/services.ts';
import { createMetrics, type BrokerMetrics } from '../metrics/metrics.ts';
import { Listener, type ListenerConfig } from './listener.ts';

export interface TestListenerSettings {
  readonly handlers?: readonly Handler<unknown, unknown>[];
  readonly config?: Partial<ListenerConfig>;
  readonly maxInFlightBytes?: number;
  readonly memoryBytes?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export interface TestListener {
  readonly listener: Listener;
  readonly port: number;
  readonly metrics: BrokerMetrics;
  /** The value of a metric without labels, or of the labels given as they are printed. */
  read(name: string): Promise<number | undefined>;
}

export async function startTestListener(settings: TestListenerSettings = {}): Promise<TestListener> {
  const metrics = createMetrics();
  const config = brokerConfigSchema.parse({});
  const { maxInFlightBytes, memoryBytes: totalBytes } = settings;
  const shares = memoryShares({ ...config, ...(maxInFlightBytes !== undefined && { maxInFlightBytes }) });
  const { recordBytes, slabBytes } = shares;
  const listener = await Listener.start({
    config: { ...config, kafkaAddress: { host: '127.0.0.1', port: 0 }, ...settings.config },
    registry: new HandlerRegistry(settings.handlers ?? []),
    services: {} as Services, // handlers of these tests use none
    memory: new RecordMemory({ totalBytes: totalBytes ?? recordBytes, slabBytes }),
    shares,
    clock: settings.clock ?? systemClock,
    logger: settings.logger ?? silentLogger,
    metrics,
  });
  return {
    listener,
    port: listener.port,
    metrics,
    async read(name) {
      const { text } = await metrics.scrape();
      const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
      return line === undefined ? undefined : Number(line.slice(name.length + 1));
    },
  };
}
