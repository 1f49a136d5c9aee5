/**
 * The operator's HTTP port: `/metrics` for Prometheus, `/healthz` (the process works) and `/readyz` (it knows the world it is to look
 * after, and could lead). It takes no input but a path, and has limits of its own.
 */
import type { ListenAddress } from '@kafscale/protocol';
import type { Logger } from '@kafscale/runtime';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OperatorMetrics } from './metrics.ts';

export interface HttpServerDeps {
  readonly address: ListenAddress;
  readonly metrics: Pick<OperatorMetrics, 'scrape'>;
  readonly logger: Logger;
  /** What it still waits for; undefined when it is ready. */
  readonly notReady: () => string | undefined;
}

export interface HttpServer {
  /** The port that is listened on, also where port 0 was asked for. */
  readonly port: number;
  close(): Promise<void>;
}

const limits = {
  ...{ maxHeaderSize: 8 * 1_024, headersTimeout: 5_000, requestTimeout: 10_000 },
  ...{ keepAliveTimeout: 5_000, connectionsCheckingInterval: 1_000 },
} as const;
const maxConnections = 64;
const plainText = 'text/plain; charset=utf-8';

/** Rejects with the system's error when the address cannot be had. */
export async function startHttpServer(deps: HttpServerDeps): Promise<HttpServer> {
  const server = createServer(limits, (request, response) => {
    request.resume(); // a body, if there is one, is nothing to us
    answer(deps, request, response).catch((error: unknown) => {
      deps.logger.error({ err: error }, 'scrape failed');
      send(request, response, { status: 500, text: 'scrape failed\n' });
    });
  });
  server.maxConnections = maxConnections;
  server.on('clientError', (_error, socket) => socket.destroy());
  const { host, port } = deps.address;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

async function answer(
  { metrics, notReady }: HttpServerDeps,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method, url } = request;
  if (method !== 'GET' && method !== 'HEAD') return send(request, response, { status: 405, text: 'only GET\n' });
  switch (url?.split('?', 1)[0]) {
    case '/metrics':
      return send(request, response, { status: 200, ...(await metrics.scrape()) });
    case '/healthz':
      return send(request, response, { status: 200, text: 'ok\n' });
    case '/readyz': {
      const missing = notReady();
      if (missing === undefined) return send(request, response, { status: 200, text: 'ready\n' });
      return send(request, response, { status: 503, text: `not ready: ${missing}\n` });
    }
    default:
      return send(request, response, { status: 404, text: 'try /metrics, /healthz or /readyz\n' });
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, text, contentType = plainText }: { readonly status: number; readonly text: string; contentType?: string },
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}
