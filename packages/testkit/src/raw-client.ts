/**
 * A Kafka client that does nothing by itself: it sends any API at any version through our codecs, or any bytes at all, and reads
 * the frames that come back. For tests of what travels, in order, on one connection.
 */
import { encodeRequest, framePrefixBytes, Reader, readResponseHeader, Writer, type Api } from '@kafscale/protocol';
import { connect, type Socket } from 'node:net';

export interface RawClientSettings {
  readonly port: number;
  readonly host?: string;
  readonly clientId?: string | null;
  /** How long a read waits before it rejects, milliseconds. */
  readonly timeoutMs?: number;
}

interface Waiter {
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The broker closed the connection, or the client did, while a frame was waited for. */
export class ConnectionClosed extends Error {
  override readonly name = 'ConnectionClosed';
}

export class RawClient {
  readonly #socket: Socket;
  readonly #clientId: string | null;
  readonly #timeoutMs: number;
  readonly #writer = new Writer();
  readonly #frames: Buffer[] = [];
  readonly #waiters: Waiter[] = [];
  #received: Buffer = Buffer.alloc(0);
  #nextCorrelationId = 1;
  #isClosed = false;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, { clientId = 'raw-client', timeoutMs = 10_000 }: RawClientSettings) {
    this.#socket = socket;
    this.#clientId = clientId;
    this.#timeoutMs = timeoutMs;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('error', () => undefined); // a reset is an end like any other; `closed` tells
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        for (const waiter of this.#waiters.splice(0)) this.#reject(waiter, new ConnectionClosed('connection closed'));
        resolve();
      });
    });
  }

  /** Rejects with the system's error when nobody listens. */
  static connect(settings: RawClientSettings): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: settings.host ?? '127.0.0.1', port: settings.port });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket, settings));
      });
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes as they are, framed or not. */
  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Bytes behind a length of their own. */
  writeFrame(frame: Uint8Array): void {
    const prefix = Buffer.alloc(framePrefixBytes);
    prefix.writeInt32BE(frame.length);
    this.#socket.write(Buffer.concat([prefix, frame]));
  }

  /** The bytes of a whole request, prefix included; nothing is sent. */
  encode<Request>(api: Api<Request, unknown>, apiVersion: number, request: Request, correlationId = 0): Buffer {
    const header = { apiVersion, correlationId, clientId: this.#clientId };
    const { chunks, byteLength } = encodeRequest(this.#writer, api, header, request);
    return Buffer.concat(chunks, byteLength);
  }

  /** Sends without waiting; answers the correlation id. For requests that have no response, or whose response is read as a frame. */
  send<Request>(api: Api<Request, unknown>, version: number, request: Request): number {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId += 1;
    this.#socket.write(this.encode(api, version, request, correlationId));
    return correlationId;
  }

  /** Sends and decodes the response; several may be under way. Rejects with ConnectionClosed, or when the order is not kept. */
  async request<Request, Response>(api: Api<Request, Response>, version: number, request: Request): Promise<Response> {
    const correlationId = this.send(api, version, request);
    const reader = new Reader(await this.nextFrame());
    const answered = readResponseHeader(reader, api, version);
    if (answered !== correlationId) throw new Error(`response to ${answered} where ${correlationId} was next`);
    const response = api.response.read(reader, version);
    reader.expectEnd(`${api.name} response`);
    return response;
  }

  /** The next frame that nobody else waits for, without its length. */
  nextFrame(): Promise<Buffer> {
    const frame = this.#frames.shift();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.#isClosed) return Promise.reject(new ConnectionClosed('connection closed'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new Error(`no frame within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      const waiter: Waiter = { resolve, reject, timer };
      this.#waiters.push(waiter);
    });
  }

  /** Stops and starts taking bytes from the socket, as a client that does not read its answers. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Ends the connection at once. */
  close(): Promise<void> {
    this.#socket.destroy();
    return this.closed;
  }

  #reject(waiter: Waiter, error: Error): void {
    clearTimeout(waiter.timer);
    waiter.reject(error);
  }

  #onBytes(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    while (this.#received.length >= framePrefixBytes) {
      const end = framePrefixBytes + this.#received.readInt32BE(0);
      if (this.#received.length < end) return;
      const frame = this.#received.subarray(framePrefixBytes, end);
      this.#received = this.#received.subarray(end);
      const waiter = this.#waiters.shift();
      if (waiter === undefined) {
        this.#frames.push(frame);
      } else {
        clearTimeout(waiter.timer);
        waiter.resolve(frame);
      }
    }
  }
}
