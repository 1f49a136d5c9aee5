/**
 * HTTP/2: every call and watch is a stream of one connection, so there is one TLS handshake, and one ping tells whether the other
 * side is still there. While anything is open, a ping without answer ends the connection and so everything on it.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import type { Socket } from 'node:net';
import { NotProcessed, type ApiRequest, type ApiResponse, type Connection } from './connection.ts';

export interface PingSettings {
  /** From one ping to the next while a stream is open, milliseconds. */
  readonly everyMs: number;
  /** Without an answer for so long the connection counts as dead. */
  readonly timeoutMs: number;
}

/** Lists of many megabytes need not wait for window updates of 64 KiB. */
const streamWindow = 1024 * 1024;
const connectionWindow = 8 * streamWindow;

export class Http2Connection implements Connection {
  readonly noticesSilence = true;
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  readonly #ping: PingSettings;
  #openStreams = 0;
  #cancelPing: CancelTimer | undefined;
  #goingAway = false;

  /** Takes over `socket`, on which both sides have agreed to speak HTTP/2. */
  constructor(origin: string, socket: Socket, { clock, ping }: { readonly clock: Clock; readonly ping: PingSettings }) {
    this.#clock = clock;
    this.#ping = ping;
    this.#session = connect(origin, {
      createConnection: () => socket,
      settings: { initialWindowSize: streamWindow, enablePush: false },
    });
    this.#session.on('connect', () => this.#session.setLocalWindowSize(connectionWindow));
    this.#session.on('goaway', () => (this.#goingAway = true));
    this.#session.on('close', () => this.#stopPings());
    this.#session.on('error', () => this.#stopPings()); // every stream reports it to its own caller
  }

  get usable(): boolean {
    return !this.#goingAway && !this.#session.closed && !this.#session.destroyed;
  }

  async send(request: ApiRequest, signal: AbortSignal): Promise<ApiResponse> {
    signal.throwIfAborted();
    const stream = this.#open(request);
    const onAbort = () => stream.destroy(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.once('close', () => {
      signal.removeEventListener('abort', onAbort);
      this.#openStreams -= 1;
      if (this.#openStreams === 0) this.#stopPings();
    });
    return new Promise((resolve, reject) => {
      let failure: Error | undefined;
      stream.once('response', (headers: IncomingHttpHeaders & IncomingHttpStatusHeader) => {
        resolve({
          status: headers[':status'] ?? 0,
          header: (name) => singleHeader(headers[name]),
          body: stream,
        });
      });
      stream.on('error', (error: Error) => (failure = error));
      stream.once('close', () => {
        if (signal.aborted) reject(signal.reason as Error);
        else if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
          reject(new NotProcessed('the server refused the stream', { cause: failure }));
        } else reject(failure ?? new Error('the connection ended before an answer'));
      });
    });
  }

  close(): void {
    this.#stopPings();
    this.#session.destroy();
  }

  #open({ method, path, headers, body }: ApiRequest): ClientHttp2Stream {
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === undefined },
      );
    } catch (error) {
      throw new NotProcessed('the connection takes no more requests', { cause: error });
    }
    if (body !== undefined) stream.end(body);
    this.#openStreams += 1;
    if (this.#openStreams === 1) this.#schedulePing();
    return stream;
  }

  #schedulePing(): void {
    this.#cancelPing = this.#clock.schedule(this.#ping.everyMs, () => {
      if (this.#session.destroyed) return;
      this.#cancelPing = this.#clock.schedule(this.#ping.timeoutMs, () => {
        this.#session.destroy(new Error(`no answer to a ping within ${this.#ping.timeoutMs} ms`));
      });
      const sent = this.#session.ping((error) => {
        if (error !== null || this.#openStreams === 0) return;
        this.#cancelPing?.();
        this.#schedulePing();
      });
      if (!sent) this.#session.destroy(new Error('the connection takes no ping'));
    });
  }

  #stopPings(): void {
    this.#cancelPing?.();
    this.#cancelPing = undefined;
  }
}

function singleHeader(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
