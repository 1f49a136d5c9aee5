/**
 * HTTP/1.1 with connections kept open, for servers behind something that does not speak HTTP/2. Nothing can be sent on a connection
 * that waits for a watch's next event, so silence is noticed only by the end of the watch: whoever watches keeps them short.
 */
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import type { ApiRequest, ApiResponse, Connection } from './connection.ts';

const idleConnections = 4;
const keepAliveProbeMs = 5_000;

export class Http1Connection implements Connection {
  readonly noticesSilence = false;
  readonly #origin: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  #usable = true;

  constructor(origin: string, tls: ConnectionOptions) {
    this.#origin = new URL(origin);
    const settings = { keepAlive: true, maxFreeSockets: idleConnections, keepAliveMsecs: keepAliveProbeMs };
    this.#agent =
      this.#origin.protocol === 'https:' ? new HttpsAgent({ ...tls, ...settings }) : new HttpAgent(settings);
  }

  get usable(): boolean {
    return this.#usable;
  }

  send({ method, path, headers, body }: ApiRequest, signal: AbortSignal): Promise<ApiResponse> {
    const open = this.#origin.protocol === 'https:' ? httpsRequest : httpRequest;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    return new Promise((resolve, reject) => {
      const request = open(
        {
          agent: this.#agent,
          host: this.#origin.hostname.replaceAll(/[[\]]/g, ''),
          port: this.#origin.port,
          method,
          path,
          headers: { ...headers, ...length },
          signal,
        },
        (response) => {
          resolve({
            status: response.statusCode ?? 0,
            header: (name) => {
              const value = response.headers[name];
              return typeof value === 'string' ? value : value?.[0];
            },
            body: response,
          });
        },
      );
      request.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error));
      request.end(body);
    });
  }

  close(): void {
    this.#usable = false;
    this.#agent.destroy();
  }
}
