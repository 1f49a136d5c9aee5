/** Serves the metrics API over TLS to the front proxy alone. Certificate and authority can change while it serves. */
import type { Logger } from '@kafscale/runtime';
import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isFrontProxy, type FrontProxy } from './front-proxy.ts';
import { failure, type ApiAnswer } from './metrics-api.ts';
import type { ServingCertificate } from './serving-certificate.ts';

export interface MetricsApiServerSettings {
  readonly host: string;
  /** 0 for a free one. */
  readonly port: number;
  readonly logger: Logger;
  readonly answer: (path: string, query: URLSearchParams) => ApiAnswer;
}

interface Identity {
  readonly certificate: ServingCertificate;
  /** Nobody gets an answer without one. */
  readonly frontProxy: FrontProxy | undefined;
}

const limits = { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 10_000, keepAliveTimeout: 60_000 };
const maxConnections = 256;

export class MetricsApiServer {
  readonly #settings: MetricsApiServerSettings;
  #server: Server | undefined;
  #identity: Identity | undefined;

  constructor(settings: MetricsApiServerSettings) {
    this.#settings = settings;
  }

  /** What it serves with; undefined before it was told. */
  get certificate(): ServingCertificate | undefined {
    return this.#identity?.certificate;
  }

  /** Of the address it listens on. */
  get port(): number {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  /** Serves from now on as told; begins to listen the first time. Rejects when the address cannot be had. */
  async use(identity: Identity): Promise<void> {
    const before = this.#identity;
    this.#identity = identity;
    if (this.#server !== undefined) {
      const isSame =
        before?.certificate.cert === identity.certificate.cert &&
        before.frontProxy?.authority === identity.frontProxy?.authority;
      if (!isSame) this.#server.setSecureContext(contextOf(identity));
      return;
    }
    const server = createServer(
      // A resumed session would not show the caller's certificate again.
      {
        ...contextOf(identity),
        ...limits,
        requestCert: true,
        rejectUnauthorized: false,
        secureOptions: constants.SSL_OP_NO_TICKET,
      },
      (request, response) => this.#serve(request, response),
    );
    server.maxConnections = maxConnections;
    this.#server = server;
    try {
      await listening(server, this.#settings);
    } catch (error) {
      this.#server = undefined;
      throw error;
    }
    server.on('error', (error) => this.#settings.logger.warn({ err: error }, 'the metrics API failed'));
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const { status, body } = this.#answer(request);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #answer(request: IncomingMessage): ApiAnswer {
    const { frontProxy } = this.#identity ?? {};
    const socket = request.socket as unknown as Pick<TLSSocket, 'authorized' | 'getPeerCertificate'>;
    if (frontProxy === undefined || !socket.authorized) {
      return failure(401, 'Unauthorized', 'ask through the API server of Kubernetes');
    }
    if (!isFrontProxy(frontProxy, { certificate: socket.getPeerCertificate(), headers: request.headers })) {
      return failure(403, 'Forbidden', 'ask through the API server of Kubernetes');
    }
    if (request.method !== 'GET') return failure(405, 'MethodNotAllowed', 'metrics can only be read');
    const url = new URL(request.url ?? '/', 'https://operator');
    try {
      return this.#settings.answer(url.pathname, url.searchParams);
    } catch (error) {
      this.#settings.logger.error({ err: error }, 'a metric could not be answered');
      return failure(500, 'InternalError', 'the operator could not answer; its log says why');
    }
  }
}

/** An empty list trusts nobody; none at all would trust the whole web. */
const contextOf = ({ certificate: { cert, key }, frontProxy }: Identity) => {
  return { cert, key, ca: frontProxy === undefined ? [] : [frontProxy.authority] };
};

function listening(server: Server, { host, port }: MetricsApiServerSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
