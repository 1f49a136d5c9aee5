/**
 * What a handler is: one Kafka API, how it is answered, and how it answers when it failed as a whole. Handlers are thin: they
 * authorise, delegate to a component and shape the answer.
 */
import type { Api, ErrorCode } from '@kafscale/protocol';
import type { Services } from './services.ts';

export interface RequestContext {
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
  /** `User:ANONYMOUS` on a listener without authentication. */
  readonly principal: string;
  readonly connectionId: number;
  readonly remoteAddress: string;
  /** What KIP-511 clients said of themselves in ApiVersions; empty before that. */
  readonly clientSoftware: { readonly name: string; readonly version: string };
  /** Monotonic milliseconds at which the whole request had arrived. */
  readonly receivedMs: number;
  /** Aborts when the connection is gone or the broker stops: nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** Runs once the answer's bytes were handed to the kernel, or the connection is gone: whatever the answer points at may be reused. */
  afterResponse(release: () => void): void;
  /** The request's bytes are not looked at any more, though its answer may take long: their memory is used for something else. */
  releaseRequest(): void;
}

/** Returned instead of a response when the protocol asks for none (Produce with acks=0). */
export const noResponse = Symbol('no response');

/** Thrown where the only answer Kafka gives is a closed connection. */
export class CloseConnection extends Error {
  override readonly name = 'CloseConnection';
}

export interface Handler<Request, Response> {
  readonly api: Api<Request, Response>;

  /**
   * True when a request may start before the earlier ones of its connection were answered (they are answered in order all the
   * same). Without it a connection's requests run one after another, as in Kafka.
   */
  readonly concurrent?: boolean;

  /** The answer to a request that failed as a whole with `code`. */
  fail(code: ErrorCode, request: Request, context: RequestContext): Response;

  /**
   * Answers the request. Views into its bytes (record batches, byte fields) are valid until the promise settles or `releaseRequest`
   * was called, and not after; what must live longer is copied. A KafkaError becomes `fail(error.code)`; anything else UNKNOWN_SERVER_ERROR and a log line.
   */
  handle(
    request: Request,
    context: RequestContext,
    services: Services,
  ): Promise<Response | typeof noResponse> | Response | typeof noResponse;
}

/** Ties a handler's types to its API; the registry lists the results. */
export function defineHandler<Request, Response>(handler: Handler<Request, Response>): Handler<Request, Response> {
  return handler;
}
