/** One connection to a broker that speaks Kafka's protocol: requests out, answers back by their correlation ids, each with a deadline. */
import {
  apiVersions,
  encodeRequest,
  ErrorCode,
  frameLength,
  framePrefixBytes,
  Reader,
  readResponseHeader,
  Writer,
  type Api,
} from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import { connect, type Socket } from 'node:net';

export interface KafkaAddress {
  readonly host: string;
  readonly port: number;
}

/** The broker cannot be reached, or went away, or did not answer in time: what was asked for may have been done. */
export class KafkaUnreachable extends Error {
  override readonly name = 'KafkaUnreachable';
}

interface Waiter {
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (error: Error) => void;
}

const maxResponseBytes = 64 * 2 ** 20;
/** What every broker with versions answers. */
const apiVersionsVersion = 3;

export class KafkaConnection {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #place: string;
  readonly #writer = new Writer();
  readonly #waiters = new Map<number, Waiter>();
  readonly #versions = new Map<number, readonly [number, number]>();
  #received: Buffer = Buffer.alloc(0);
  #nextCorrelationId = 1;
  #isClosed = false;

  private constructor(socket: Socket, clock: Clock, place: string) {
    this.#socket = socket;
    this.#clock = clock;
    this.#place = place;
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#onBytes(bytes));
    socket.on('error', () => undefined); // an end like any other
    socket.on('close', () => this.#end(new KafkaUnreachable(`broker at ${place} closed the connection`)));
  }

  /** Knows what the broker speaks when it resolves. Rejects with KafkaUnreachable. */
  static async open({ host, port }: KafkaAddress, clock: Clock, limitMs: number): Promise<KafkaConnection> {
    const place = `${host}:${port}`;
    const socket = await opened(place, connect({ host, port }), clock, limitMs);
    const connection = new KafkaConnection(socket, clock, place);
    try {
      const software = { clientSoftwareName: 'kafscale-operator', clientSoftwareVersion: '0.1.0' };
      const { apiKeys, errorCode } = await connection.#send(apiVersions, apiVersionsVersion, software, limitMs);
      if (errorCode !== ErrorCode.NONE) throw new KafkaUnreachable(`broker at ${place} does not tell what it speaks`);
      for (const { apiKey, minVersion, maxVersion } of apiKeys) {
        connection.#versions.set(apiKey, [minVersion, maxVersion]);
      }
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** In the newest version both sides know. Rejects with KafkaUnreachable, or Error where they have none in common. */
  request<Request, Response>(api: Api<Request, Response>, request: Request, limitMs: number): Promise<Response> {
    const [lowest, highest] = this.#versions.get(api.key) ?? [0, -1];
    const version = Math.min(highest, api.versions[1]);
    if (version < Math.max(lowest, api.versions[0])) {
      return Promise.reject(new Error(`broker at ${this.#place} speaks no version of ${api.name} that is known here`));
    }
    return this.#send(api, version, request, limitMs);
  }

  close(): void {
    this.#socket.destroy();
    this.#end(new KafkaUnreachable(`the connection to ${this.#place} was closed`));
  }

  async #send<Request, Response>(
    api: Api<Request, Response>,
    version: number,
    request: Request,
    limitMs: number,
  ): Promise<Response> {
    if (this.#isClosed) throw new KafkaUnreachable(`the connection to ${this.#place} is closed`);
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = (this.#nextCorrelationId % 0x7fffffff) + 1;
    const header = { apiVersion: version, correlationId, clientId: 'kafscale-operator' };
    const { chunks, byteLength } = encodeRequest(this.#writer, api, header, request);
    const answered = new Promise<Buffer>((resolve, reject) => this.#waiters.set(correlationId, { resolve, reject }));
    this.#socket.write(Buffer.concat(chunks, byteLength));
    // One answer that is late makes those behind it late: the connection is of no use any more.
    const cancel = this.#clock.schedule(limitMs, () => {
      this.#end(new KafkaUnreachable(`broker at ${this.#place} did not answer ${api.name} within ${limitMs} ms`));
      this.#socket.destroy();
    });
    try {
      const reader = new Reader(await answered);
      readResponseHeader(reader, api, version);
      return api.response.read(reader, version);
    } finally {
      cancel();
    }
  }

  #end(error: Error): void {
    this.#isClosed = true;
    for (const waiter of this.#waiters.values()) waiter.reject(error);
    this.#waiters.clear();
  }

  #onBytes(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    try {
      while (this.#received.length >= framePrefixBytes) {
        const end = framePrefixBytes + frameLength(this.#received, 0, maxResponseBytes);
        if (this.#received.length < end) return;
        const frame = this.#received.subarray(framePrefixBytes, end);
        this.#received = this.#received.subarray(end);
        const correlationId = new Reader(frame).int32('correlationId');
        this.#waiters.get(correlationId)?.resolve(frame);
        this.#waiters.delete(correlationId);
      }
    } catch (error) {
      this.#end(new KafkaUnreachable(`broker at ${this.#place} sends what is no answer`, { cause: error }));
      this.#socket.destroy();
    }
  }
}

function opened(place: string, socket: Socket, clock: Clock, limitMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error | undefined) => {
      cancel();
      socket.destroy();
      reject(new KafkaUnreachable(`broker at ${place} cannot be reached`, { cause: error }));
    };
    const cancel = clock.schedule(limitMs, () => fail(undefined));
    socket.once('error', fail);
    socket.once('connect', () => {
      cancel();
      socket.off('error', fail);
      resolve(socket);
    });
  });
}
