/**
 * Tells the operator the broker's load every few seconds, on one stream that is begun again when it breaks: the operator scales on
 * it. A report that the operator does not take in time is left out; the next one says all there is to say.
 */
import { Client, credentials, Metadata, type ClientWritableStream } from '@grpc/grpc-js';
import type { MetricsAck, MetricsReport } from '@kafscale/protocol';
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { readFile } from 'node:fs/promises';
import { loadControlApi } from './control-api.ts';
import type { TokenFile } from './token-file.ts';

export interface MetricsReporterDependencies {
  /** host:port of the operator. */
  readonly endpoint: string;
  /** Given, the operator is called by TLS. */
  readonly caFile?: string | undefined;
  readonly token?: Pick<TokenFile, 'authorization'> | undefined;
  /** Undefined while the broker serves nothing. */
  readonly brokerId: () => number | undefined;
  readonly totals: () => Promise<Pick<MetricsReport, 'gauges' | 'counters'>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

export const reportEveryMs = 5_000;
const backoff = { baseMs: 1_000, maxMs: 30_000 };
const options = { 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 10_000 };

export class MetricsReporter {
  readonly #dependencies: MetricsReporterDependencies;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;

  private constructor(dependencies: MetricsReporterDependencies) {
    this.#dependencies = dependencies;
    this.#running = this.#run();
  }

  static start(dependencies: MetricsReporterDependencies): MetricsReporter {
    return new MetricsReporter(dependencies);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, random, logger, endpoint } = this.#dependencies;
    const { signal } = this.#closing;
    const isOver = () => signal.aborted;
    for (let attempt = 0; !isOver(); attempt += 1) {
      const sinceMs = clock.monotonicMs();
      const error = await this.#report().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      if (isOver()) return;
      if (clock.monotonicMs() - sinceMs > backoff.maxMs) attempt = 0;
      if (error !== undefined)
        logger.warn({ err: error, endpoint }, 'the operator cannot be told the load; trying again');
      await clock.sleep(backoffDelayMs(attempt, backoff, random), signal).catch(() => undefined);
    }
  }

  /** Resolves or rejects with the stream. */
  async #report(): Promise<void> {
    const { endpoint, caFile, token, clock } = this.#dependencies;
    const { signal } = this.#closing;
    const trusted = caFile === undefined ? undefined : await readFile(caFile);
    const client = new Client(
      endpoint,
      trusted ? credentials.createSsl(trusted) : credentials.createInsecure(),
      options,
    );
    const ended = new AbortController();
    try {
      const metadata = new Metadata();
      const authorization = await token?.authorization();
      if (authorization !== undefined) metadata.set('authorization', authorization);
      let failure: Error | null = null;
      const call = open(client, metadata, (error) => {
        failure = error;
        ended.abort();
      });
      const over = AbortSignal.any([signal, ended.signal]);
      const isOver = () => over.aborted;
      while (!isOver()) {
        const report = await this.#next();
        if (report !== undefined && !isOver() && !call.writableNeedDrain) call.write(report);
        await clock.sleep(reportEveryMs, over).catch(() => undefined);
      }
      call.cancel();
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set by the call
      if (failure !== null) throw failure as Error;
    } finally {
      client.close();
    }
  }

  async #next(): Promise<MetricsReport | undefined> {
    const { brokerId, totals, clock } = this.#dependencies;
    const id = brokerId();
    return id === undefined ? undefined : { brokerId: id, timestampMs: clock.wallMs(), ...(await totals()) };
  }
}

function open(
  client: Client,
  metadata: Metadata,
  onEnd: (error: Error | null) => void,
): ClientWritableStream<MetricsReport> {
  const { path, requestSerialize, responseDeserialize } = loadControlApi().brokerControl['StreamMetrics']!;
  return client.makeClientStreamRequest<MetricsReport, MetricsAck>(
    ...([path, requestSerialize, responseDeserialize, metadata] as const),
    onEnd,
  );
}
