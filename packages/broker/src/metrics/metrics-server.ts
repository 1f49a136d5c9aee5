/**
 * The HTTP side port: `/metrics` for Prometheus, `/healthz` (the event loop turns, whatever the stores do), `/startupz` (it has served
 * once) and `/readyz` (it serves, and clients may be sent to it). It takes no input but a path, and has limits of its own, since it is
 * reachable when the Kafka port is.
 */
import type { ListenAddress } from '@kafscale/protocol';
import type { Clock, Logger } from '@kafscale/runtime';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BrokerMetrics } from './metrics.ts';
import { reportProcess } from './process-metrics.ts';

export interface MetricsServerDeps {
  readonly address: ListenAddress;
  readonly metrics: BrokerMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether the broker serves clients, and is not about to stop or drained. */
  readonly isReady: () => boolean;
  /** Whether it ever served; as `isReady` unless told. */
  readonly hasStarted?: () => boolean;
  /** Named beside the readiness, and no reason against it: reads go on, and another broker would have the same store. */
  readonly objectStoreState?: () => string;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

const limits = {
  maxHeaderSize: 8 * 1_024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
} as const;
const maxConnections = 64;

const plain = (status: number, text: string): Answer => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  text: `${text}\n`,
});

export class MetricsServer {
  readonly #deps: MetricsServerDeps;
  readonly #server: Server;
  readonly #stopReporting: () => void;
  #scraping: Promise<Answer> | undefined;

  private constructor(deps: MetricsServerDeps) {
    this.#deps = deps;
    this.#stopReporting = reportProcess(deps.metrics, deps.clock);
    this.#server = createServer(limits, (request, response) => this.#onRequest(request, response));
    this.#server.maxConnections = maxConnections;
    this.#server.on('clientError', (_error, socket) => socket.destroy());
  }

  /** Listens; rejects with the system's error when the address cannot be had. */
  static async start(deps: MetricsServerDeps): Promise<MetricsServer> {
    const server = new MetricsServer(deps);
    try {
      await listen(server.#server, deps.address);
    } catch (error) {
      server.#stopReporting();
      throw error;
    }
    return server;
  }

  /** The port that is listened on, also where port 0 was asked for. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#stopReporting();
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    request.resume(); // a body, if there is one, is nothing to us
    this.#answer(request).then(
      (answer) => send(request, response, answer),
      (error: unknown) => {
        this.#deps.logger.error({ err: error }, 'scrape failed');
        send(request, response, plain(500, 'scrape failed'));
      },
    );
  }

  async #answer({ method, url }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'only GET');
    switch (url?.split('?', 1)[0]) {
      case '/metrics':
        return this.#scrape();
      case '/healthz':
        return plain(200, 'ok');
      case '/startupz':
        return (this.#deps.hasStarted ?? this.#deps.isReady)() ? plain(200, 'started') : plain(503, 'starting');
      case '/readyz':
        return this.#readiness();
      default:
        return plain(404, 'try /metrics, /healthz, /startupz or /readyz');
    }
  }

  #readiness(): Answer {
    const { isReady, objectStoreState = () => 'healthy' } = this.#deps;
    if (!isReady()) return plain(503, 'not ready');
    const state = objectStoreState();
    return plain(200, state === 'healthy' ? 'ready' : `ready, object store ${state}`);
  }

  /** One scrape serves all who ask while it runs. */
  #scrape(): Promise<Answer> {
    this.#scraping ??= this.#deps.metrics
      .scrape()
      .then(({ contentType, text }) => ({ status: 200, contentType, text }))
      .finally(() => (this.#scraping = undefined));
    return this.#scraping;
  }
}

function send(request: IncomingMessage, response: ServerResponse, { status, contentType, text }: Answer): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
