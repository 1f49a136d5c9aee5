/**
 * Where brokers push their load: the operator's half of StreamMetrics. Who may is known by the token, which also tells the cluster: a
 * broker can say nothing of another cluster's.
 */
import { Server, ServerCredentials, status, type sendUnaryData, type ServerReadableStream } from '@grpc/grpc-js';
import type { MetricsAck, MetricsReport } from '@kafscale/protocol';
import { settlesWithin, type CancelTimer, type Clock, type Logger } from '@kafscale/runtime';
import { loadControlApi } from './control-api.ts';
import type { LoadReports } from './load-reports.ts';

export interface MetricsServerDependencies {
  /** host:port to listen on; port 0 for a free one. */
  readonly address: string;
  readonly reports: LoadReports;
  /** The cluster whose token this is; undefined for nobody's. Takes as long for any that is not. */
  readonly clusterOf: (token: string) => Promise<string | undefined>;
  /** Certificate and key, PEM; in the clear without. */
  readonly tls?: { readonly cert: Uint8Array; readonly key: Uint8Array };
  readonly clock: Clock;
  readonly logger: Logger;
}

type MetricsStream = ServerReadableStream<MetricsReport, MetricsAck>;

const KiB = 2 ** 10;
const options = {
  'grpc.max_receive_message_length': 64 * KiB,
  'grpc.max_metadata_size': 16 * KiB,
  'grpc.max_concurrent_streams': 16,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
} as const;
const maxStreams = 2_000;
/** A broker that says nothing for so long is gone, or its stream is. */
const forgetAfterMs = 5 * 60_000;
const lookEveryMs = 60_000;
/** Open streams would be waited for for ever. */
const closeLimitMs = 1_000;
const bearer = /^Bearer +(\S+)$/i;

export class MetricsServer {
  readonly #dependencies: MetricsServerDependencies;
  readonly #server = new Server(options);
  #streams = 0;
  #port = 0;
  #stopExpiring: CancelTimer = () => undefined;

  private constructor(dependencies: MetricsServerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Rejects when the address cannot be had. */
  static async start(dependencies: MetricsServerDependencies): Promise<MetricsServer> {
    const server = new MetricsServer(dependencies);
    await server.#start();
    return server;
  }

  /** The port that is listened on, also where port 0 was asked for. */
  get port(): number {
    return this.#port;
  }

  async close(): Promise<void> {
    this.#stopExpiring();
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await settlesWithin(this.#dependencies.clock, closeLimitMs, closed);
    this.#server.forceShutdown();
  }

  async #start(): Promise<void> {
    const { address, tls } = this.#dependencies;
    this.#server.addService(loadControlApi().brokerControl, {
      StreamMetrics: (stream: MetricsStream, answer: sendUnaryData<MetricsAck>) => void this.#take(stream, answer),
    });
    const credentials =
      tls === undefined
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    this.#expireLater();
  }

  #expireLater(): void {
    const { clock, reports } = this.#dependencies;
    this.#stopExpiring = clock.schedule(lookEveryMs, () => {
      reports.expire(forgetAfterMs);
      this.#expireLater();
    });
  }

  /** Nothing of the stream is read before it is known whose it is. */
  async #take(stream: MetricsStream, answer: sendUnaryData<MetricsAck>): Promise<void> {
    const { reports, logger } = this.#dependencies;
    const refuse = (code: status, details: string) => {
      logger.warn({ peer: stream.getPeer(), details }, 'a stream of load reports was refused');
      answer({ code, details });
    };
    if (this.#streams >= maxStreams) {
      refuse(status.RESOURCE_EXHAUSTED, `at most ${maxStreams} streams at once`);
      return;
    }
    this.#streams += 1;
    let isOver = false;
    const release = () => {
      if (!isOver) this.#streams -= 1;
      isOver = true;
    };
    stream.on('cancelled', release).on('error', release);
    try {
      const cluster = await this.#clusterOf(stream);
      if (cluster === undefined) {
        refuse(status.UNAUTHENTICATED, 'the token is missing or wrong');
        return;
      }
      for await (const report of stream) {
        if (reports.add(cluster, report as MetricsReport)) continue;
        refuse(status.INVALID_ARGUMENT, 'this is no report, or there are too many brokers');
        return;
      }
      answer(null, { message: 'taken' });
    } catch (error) {
      // The broker, or the connection to it, is gone: there is nobody to be told.
      logger.debug({ err: error, peer: stream.getPeer() }, 'a stream of load reports broke');
      answer({ code: status.UNAVAILABLE, details: 'the stream broke' });
    } finally {
      release();
    }
  }

  async #clusterOf(stream: MetricsStream): Promise<string | undefined> {
    const given = stream.metadata.get('authorization');
    const token = given.length === 1 ? bearer.exec(String(given[0]))?.[1] : undefined;
    return token === undefined ? undefined : this.#dependencies.clusterOf(token);
  }
}
