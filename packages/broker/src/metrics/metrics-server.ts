/**
 * The HTTP side port: `/metrics` for Prometheus, `/healthz` (the event loop turns) and `/readyz` (the broker serves). It takes no
 * input but a path, and has limits of its own, since it is reachable when the Kafka port is.
 */
import type { ListenAddress } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BrokerMetrics } from './metrics.ts';

export interface MetricsServerDeps {
  readonly address: ListenAddress;
  readonly metrics: BrokerMetrics;
  readonly logger: Logger;
  /** Undefined while the broker serves; otherwise why it does not. */
  readonly notReadyReason: () => string | undefined;
}

export interface MetricsServer {
  /** The port that is listened on, also where port 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
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

/** Listens; rejects with the system's error when the address cannot be had. */
export async function startMetricsServer({
  address,
  metrics,
  logger,
  notReadyReason,
}: MetricsServerDeps): Promise<MetricsServer> {
  let scraping: Promise<Answer> | undefined;

  /** One scrape serves all who ask while it runs. */
  const scrape = (): Promise<Answer> =>
    (scraping ??= metrics
      .scrape()
      .then(({ contentType, text }) => ({ status: 200, contentType, text }))
      .finally(() => (scraping = undefined)));

  const answer = async ({ method, url }: IncomingMessage): Promise<Answer> => {
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'only GET');
    switch (url?.split('?', 1)[0]) {
      case '/metrics':
        return scrape();
      case '/healthz':
        return plain(200, 'ok');
      case '/readyz': {
        const reason = notReadyReason();
        return reason === undefined ? plain(200, 'ready') : plain(503, reason);
      }
      default:
        return plain(404, 'try /metrics, /healthz or /readyz');
    }
  };

  const server = createServer(limits, (request, response) => {
    request.resume(); // a body, if there is one, is nothing to us
    answer(request).then(
      (answered) => send(request, response, answered),
      (error: unknown) => {
        logger.error({ err: error }, 'scrape failed');
        send(request, response, plain(500, 'scrape failed'));
      },
    );
  });
  server.maxConnections = maxConnections;
  server.on('clientError', (_error, socket) => socket.destroy());
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
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
