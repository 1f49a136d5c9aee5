/** One request of a connection and its answer; to handlers it is the request's context. */
import type { RequestHeader } from '@kafscale/protocol';
import type { Slab } from '@kafscale/runtime';
import type { Handler, RequestContext } from '../handlers/define-handler.ts';

export interface ClientSoftware {
  readonly name: string;
  readonly version: string;
}

/** The connection as its exchanges see it. */
export interface ExchangeConnection {
  readonly connectionId: number;
  readonly remoteAddress: string;
  readonly principal: string;
  clientSoftware: ClientSoftware;
  readonly signal: AbortSignal;
  /** The exchange has its answer, or was found to end the connection. Its request's bytes are not needed any more. */
  onAnswered(exchange: Exchange): void;
}

export class Exchange implements RequestContext {
  readonly connection: ExchangeConnection;
  readonly handler: Handler<unknown, unknown>;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  readonly receivedMs: number;
  /** Length of the request without its prefix. */
  readonly sizeBytes: number;
  /** The request's body: `bytes` in [bodyStart, end). */
  readonly bytes: Buffer;
  readonly bodyStart: number;
  readonly end: number;
  #slab: Slab | undefined;

  /** The encoded answer once there is one; empty where the protocol asks for none. */
  response: readonly Uint8Array[] | undefined;
  /** Set with the response when the connection ends instead of going on behind it. */
  endsConnection = false;
  #releases: (() => void)[] | undefined;
  #isOver = false;

  /** Takes over the frame's reference to its slab. */
  constructor(
    connection: ExchangeConnection,
    handler: Handler<unknown, unknown>,
    header: RequestHeader,
    frame: { bytes: Buffer; start: number; bodyStart: number; end: number; slab: Slab | undefined },
    receivedMs: number,
  ) {
    this.connection = connection;
    this.handler = handler;
    this.apiVersion = header.apiVersion;
    this.correlationId = header.correlationId;
    this.clientId = header.clientId;
    this.receivedMs = receivedMs;
    this.sizeBytes = frame.end - frame.start;
    this.bytes = frame.bytes;
    this.bodyStart = frame.bodyStart;
    this.end = frame.end;
    this.#slab = frame.slab;
  }

  get connectionId(): number {
    return this.connection.connectionId;
  }

  get remoteAddress(): string {
    return this.connection.remoteAddress;
  }

  get principal(): string {
    return this.connection.principal;
  }

  get clientSoftware(): ClientSoftware {
    return this.connection.clientSoftware;
  }

  get signal(): AbortSignal {
    return this.connection.signal;
  }

  /** Whether somebody waits for the answer's bytes to be sent. */
  get hasReleases(): boolean {
    return this.#releases !== undefined;
  }

  afterResponse(release: () => void): void {
    if (this.#isOver) release();
    else if (this.#releases === undefined) this.#releases = [release];
    else this.#releases.push(release);
  }

  /** The request's bytes are not needed any more. */
  releaseRequest(): void {
    const slab = this.#slab;
    this.#slab = undefined;
    slab?.release();
  }

  /** The kernel has the answer, or the connection is gone: runs what waits for it, once. */
  complete(): void {
    this.#isOver = true;
    const releases = this.#releases;
    this.#releases = undefined;
    if (releases !== undefined) for (const release of releases) release();
  }
}
