/**
 * From the bytes of a request to the bytes of its answer: finds the handler, decodes, runs it, encodes. The only place where an
 * error becomes bytes.
 */
import {
  apiVersions,
  DecodeError,
  encodeResponse,
  KafkaError,
  Reader,
  readRequestHeader,
  Writer,
  type Api,
  type RequestOf,
} from '@kafscale/protocol';
import type { Clock, Slab } from '@kafscale/runtime';
import { unsupportedApiVersions } from '../handlers/api-versions.ts';
import { CloseConnection, noResponse } from '../handlers/define-handler.ts';
import type { HandlerRegistry } from '../handlers/registry.ts';
import type { Services } from '../handlers/services.ts';
import type { RequestMetrics } from '../metrics/request-metrics.ts';
import { errorCodeOf } from './error-code-of.ts';
import { Exchange, type ExchangeConnection } from './exchange.ts';
import type { LimitedLog } from './limited-log.ts';

export interface DispatcherDeps {
  readonly registry: HandlerRegistry;
  readonly services: Services;
  readonly clock: Clock;
  readonly log: LimitedLog;
  readonly metrics: RequestMetrics;
}

const nothing: readonly Uint8Array[] = [];

export class Dispatcher {
  readonly #registry: HandlerRegistry;
  readonly #services: Services;
  readonly #clock: Clock;
  readonly #log: LimitedLog;
  readonly #metrics: RequestMetrics;
  /** Encoding is synchronous, so one writer serves all connections. */
  readonly #writer = new Writer();
  readonly #findApi: (apiKey: number) => Api<unknown, unknown> | undefined;

  constructor({ registry, services, clock, log, metrics }: DispatcherDeps) {
    this.#registry = registry;
    this.#services = services;
    this.#clock = clock;
    this.#log = log;
    this.#metrics = metrics;
    this.#findApi = (apiKey) => registry.find(apiKey)?.handler.api;
  }

  /**
   * Makes an exchange of a frame, which takes over the frame's reference to its slab. Throws DecodeError, and takes nothing over,
   * where the header is malformed or asks for what is not served: Kafka then closes the connection.
   */
  open(
    connection: ExchangeConnection,
    bytes: Buffer,
    start: number,
    end: number,
    slab: Slab | undefined,
    receivedMs: number,
  ): Exchange {
    const reader = new Reader(bytes, start, end);
    const read = readRequestHeader(reader, this.#findApi);
    if (read === undefined) throw new DecodeError(`API key ${bytes.readInt16BE(start)} is not served`);
    const { apiKey, apiVersion } = read.header;
    const { handler, minVersion, maxVersion } = this.#registry.find(apiKey)!;
    if ((apiVersion < minVersion || apiVersion > maxVersion) && apiKey !== apiVersions.key) {
      throw new DecodeError(`${handler.api.name} version ${apiVersion} is not served`);
    }
    return new Exchange(
      connection,
      handler,
      read.header,
      { bytes, start, bodyStart: reader.offset, end, slab },
      receivedMs,
    );
  }

  /**
   * Decodes the request and runs its handler; `connection.onAnswered` follows, now or later, exactly once. Throws DecodeError for
   * a body that is malformed; nothing follows then.
   */
  run(exchange: Exchange): void {
    const { handler, apiVersion } = exchange;
    const { api } = handler;
    this.#metrics.received(api, exchange.receivedMs);
    if (api.key === apiVersions.key && (apiVersion < api.versions[0] || apiVersion > api.versions[1])) {
      this.#answer(exchange, undefined, unsupportedApiVersions, 0); // its body is in a form that is not known here
      return;
    }
    const reader = new Reader(exchange.bytes, exchange.bodyStart, exchange.end);
    const request = api.request.read(reader, apiVersion);
    reader.expectEnd(api.name);

    let result: unknown;
    try {
      result = handler.handle(request, exchange, this.#services);
    } catch (error) {
      this.#fail(exchange, request, error);
      return;
    }
    if (isPromise(result)) {
      result.then(
        (response: unknown) => this.#answer(exchange, request, response, apiVersion),
        (error: unknown) => this.#fail(exchange, request, error),
      );
    } else {
      this.#answer(exchange, request, result, apiVersion);
    }
  }

  #answer(exchange: Exchange, request: unknown, response: unknown, version: number): void {
    const { api } = exchange.handler;
    if (response === noResponse) {
      exchange.response = nothing;
    } else {
      try {
        exchange.response = encodeResponse(this.#writer, api, version, exchange.correlationId, response).chunks;
      } catch (error) {
        this.#fail(exchange, request, new Error(`${api.name} answer cannot be encoded`, { cause: error }));
        return;
      }
    }
    if (api.key === apiVersions.key && request !== undefined) identify(exchange, request as ApiVersionsRequest);
    this.#metrics.answered(api, this.#clock.monotonicMs() - exchange.receivedMs);
    exchange.connection.onAnswered(exchange);
  }

  /** Answers with the error, or ends the connection where Kafka has no other answer. */
  #fail(exchange: Exchange, request: unknown, error: unknown): void {
    const { api } = exchange.handler;
    try {
      if (error instanceof CloseConnection) throw error;
      const code = errorCodeOf(error);
      this.#metrics.failed(api, code);
      if (!(error instanceof KafkaError) && !exchange.connection.signal.aborted) {
        this.#log.error({ ...about(exchange), err: error }, 'request failed');
      }
      const response = exchange.handler.fail(code, request, exchange);
      exchange.response = encodeResponse(
        this.#writer,
        api,
        exchange.apiVersion,
        exchange.correlationId,
        response,
      ).chunks;
    } catch (failure) {
      if (failure instanceof CloseConnection) {
        this.#log.info({ ...about(exchange), reason: failure.message }, 'connection closed instead of an answer');
      } else {
        this.#log.error({ ...about(exchange), err: failure }, 'failed request has no answer');
      }
      exchange.response = nothing;
      exchange.endsConnection = true;
    }
    exchange.connection.onAnswered(exchange);
  }
}

type ApiVersionsRequest = RequestOf<typeof apiVersions>;

/** KIP-511: from now on the connection's requests say what software sent them. */
function identify({ connection }: Exchange, { clientSoftwareName, clientSoftwareVersion }: ApiVersionsRequest): void {
  connection.clientSoftware = { name: clientSoftwareName, version: clientSoftwareVersion };
}

const isPromise = (result: unknown): result is Promise<unknown> =>
  typeof (result as { then?: unknown } | null)?.then === 'function';

/** Log fields that say which request it was. */
export function about({ handler, apiVersion, correlationId, clientId, connection }: Exchange) {
  return {
    api: handler.api.name,
    apiVersion,
    correlationId,
    clientId,
    connectionId: connection.connectionId,
    remoteAddress: connection.remoteAddress,
  };
}
