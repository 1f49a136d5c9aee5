/** For tests of what is made of brokers' load: a broker that does nothing but report it. */
import { Client, credentials, Metadata, type ClientWritableStream } from '@grpc/grpc-js';
import type { MetricsAck, MetricsReport } from '@kafscale/protocol';
import { loadControlApi } from './control-api.ts';

export class LoadReporter {
  readonly #client: Client;
  readonly #stream: ClientWritableStream<MetricsReport>;
  readonly #brokerId: number;

  constructor({ port, token, brokerId }: { readonly port: number; readonly token: string; readonly brokerId: number }) {
    const { path, requestSerialize, responseDeserialize } = loadControlApi().brokerControl['StreamMetrics']!;
    this.#brokerId = brokerId;
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    this.#stream = this.#client.makeClientStreamRequest<MetricsReport, MetricsAck>(
      ...([path, requestSerialize, responseDeserialize, metadata] as const),
      () => undefined,
    );
    this.#stream.on('error', () => undefined);
  }

  report(counters: Readonly<Record<string, number>>): void {
    this.#stream.write({ brokerId: this.#brokerId, timestampMs: Date.now(), gauges: {}, counters });
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }
}
