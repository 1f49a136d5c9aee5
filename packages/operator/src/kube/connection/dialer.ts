/** Finds out what an API server speaks, keeps one connection to it, and makes the next one when that is no longer usable. */
import type { Clock } from '@kafscale/runtime';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { ClusterAccess } from '../cluster-access.ts';
import type { Connection } from './connection.ts';
import { Http1Connection } from './http1-connection.ts';
import { Http2Connection, type PingSettings } from './http2-connection.ts';

export interface DialerSettings {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly ping?: PingSettings;
  /** How long reaching the server and agreeing on a protocol may take. */
  readonly dialTimeoutMs?: number;
}

/** A dead peer is noticed after 3 + 3 s, which leaves time to reconnect within the promised 10 s. */
const defaultPing: PingSettings = { everyMs: 3_000, timeoutMs: 3_000 };
const defaultDialTimeoutMs = 3_000;

export class Dialer {
  readonly #access: ClusterAccess;
  readonly #clock: Clock;
  readonly #ping: PingSettings;
  readonly #dialTimeoutMs: number;
  #connection: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  #closed = false;

  constructor({ access, clock, ping = defaultPing, dialTimeoutMs = defaultDialTimeoutMs }: DialerSettings) {
    this.#access = access;
    this.#clock = clock;
    this.#ping = ping;
    this.#dialTimeoutMs = dialTimeoutMs;
  }

  /** A connection on which a request may start. Callers that come at once share one attempt. */
  async connection(): Promise<Connection> {
    if (this.#connection?.usable === true) return this.#connection;
    this.#dialing ??= this.#dial().finally(() => (this.#dialing = undefined));
    return this.#dialing;
  }

  close(): void {
    this.#closed = true;
    this.#connection?.close();
  }

  async #dial(): Promise<Connection> {
    const connection = await this.#connect();
    if (this.#closed) {
      connection.close();
      throw new Error('the client is closed');
    }
    this.#connection = connection;
    return connection;
  }

  async #connect(): Promise<Connection> {
    const { server, http2 = 'negotiate' } = this.#access;
    const url = new URL(server);
    const secure = url.protocol === 'https:';
    if (http2 === 'never' || (!secure && http2 === 'negotiate')) {
      return new Http1Connection(server, secure ? await this.#access.tls() : {});
    }
    const host = url.hostname.replaceAll(/[[\]]/g, '');
    const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
    const tls = secure ? await this.#access.tls() : {};
    const socket = secure ? await this.#openTls({ ...tls, host, port }) : await this.#openTcp(host, port);
    if (secure && 'alpnProtocol' in socket && socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return new Http1Connection(server, tls);
    }
    return new Http2Connection(server, socket, { clock: this.#clock, ping: this.#ping });
  }

  #openTls(options: ConnectionOptions): Promise<Socket> {
    return this.#opened('secureConnect', () =>
      connectTls({
        ...options,
        ...(options.servername === undefined &&
        options.host !== undefined &&
        /[a-z]/i.test(options.host) &&
        !options.host.includes(':')
          ? { servername: options.host }
          : {}),
        ALPNProtocols: ['h2', 'http/1.1'],
      }),
    );
  }

  #openTcp(host: string, port: number): Promise<Socket> {
    return this.#opened('connect', () => connectTcp({ host, port }));
  }

  #opened(event: 'connect' | 'secureConnect', open: () => Socket): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = open();
      const cancel = this.#clock.schedule(this.#dialTimeoutMs, () => {
        socket.destroy(new Error(`no connection within ${this.#dialTimeoutMs} ms`));
      });
      const onError = (error: Error) => {
        cancel();
        reject(error);
      };
      socket.once('error', onError);
      socket.once(event, () => {
        cancel();
        socket.off('error', onError);
        socket.setNoDelay(true);
        resolve(socket);
      });
    });
  }
}
