/**
 * The road between the SDK and the network: one HTTP request for each call, over kept-alive connections. It writes a body of several
 * slices without joining them, bounds connecting and silence, keeps refusals small, and leaves a connection in which anything went
 * wrong to nobody else, so that memory handed to `create` is free when it settles.
 */
import type { CancelTimer, Clock } from '@kafscale/runtime';
import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** What the SDK hands over, as far as it matters here. */
export interface S3HttpRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly method: string;
  /** Encoded already. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | readonly Uint8Array[];
}

export interface S3HttpResponse {
  readonly statusCode: number;
  readonly reason: string | undefined;
  readonly headers: Record<string, string>;
  /** A stream where the call succeeded, whole bytes where it was refused. */
  readonly body: IncomingMessage | Buffer;
}

export interface S3HttpHandlerOptions {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  /** The longest a connection may be silent while a request is on it. */
  readonly silenceTimeoutMs: number;
  readonly maxIdleConnections: number;
}

/** The endpoint answered with a page for people: whatever it is, it is no object store. */
export class HtmlAnswerError extends Error {
  override readonly name = 'HtmlAnswerError';
  readonly statusCode: number;

  constructor(statusCode: number, text: string) {
    super(
      `answered with a web page: ${text
        .replaceAll(/<[^>]*>|\s+/g, ' ')
        .trim()
        .slice(0, 120)}`,
    );
    this.statusCode = statusCode;
  }
}

/** A network failure; `code` is the system's where it has one. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: string | undefined;

  constructor(message: string, cause?: Error) {
    super(message, { cause });
    this.code = (cause as NodeJS.ErrnoException | undefined)?.code;
  }
}

/** Less than the time after which stores close idle connections, so that a request rarely meets a closed one. */
const idleConnectionMs = 4_000;
const maxRefusalBytes = 64 * 1024;

export class S3HttpHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' } as const;
  readonly #options: S3HttpHandlerOptions;
  readonly #httpAgent: HttpAgent;
  readonly #httpsAgent: HttpsAgent;

  constructor(options: S3HttpHandlerOptions) {
    const agentOptions = { keepAlive: true, maxFreeSockets: options.maxIdleConnections, timeout: idleConnectionMs };
    this.#options = options;
    this.#httpAgent = new HttpAgent(agentOptions);
    this.#httpsAgent = new HttpsAgent(agentOptions);
  }

  /** Resolves with the head of the answer once the whole body is on its way. The signal ends the call also while its answer is read. */
  handle(
    request: S3HttpRequest,
    { abortSignal }: { readonly abortSignal?: AbortSignal } = {},
  ): Promise<{ response: S3HttpResponse }> {
    return new Promise((resolve, reject) => {
      if (abortSignal?.aborted) throw abortedError(abortSignal);
      const outgoing = this.#send(request);
      const onAbort = () => outgoing.destroy(abortedError(abortSignal!));
      abortSignal?.addEventListener('abort', onAbort, { once: true });
      outgoing.once('close', () => abortSignal?.removeEventListener('abort', onAbort));
      outgoing.once('error', (error) => reject(asConnectionError(error)));
      outgoing.once('response', (incoming) => {
        this.#take(outgoing, incoming).then((response) => resolve({ response }), reject);
      });
    });
  }

  destroy(): void {
    this.#httpAgent.destroy();
    this.#httpsAgent.destroy();
  }

  /** The SDK asks for it; nothing here may be changed behind our back. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {};
  }

  #send({ protocol, hostname, port, method, path, query, headers, body }: S3HttpRequest): ClientRequest {
    const { silenceTimeoutMs } = this.#options;
    const isSecure = protocol === 'https:';
    const outgoing = (isSecure ? httpsRequest : httpRequest)({
      host: hostname.replace(/^\[|\]$/g, ''),
      port,
      method,
      path: path + queryString(query),
      headers,
      agent: isSecure ? this.#httpsAgent : this.#httpAgent,
      timeout: silenceTimeoutMs,
    });
    outgoing.on('timeout', () => {
      outgoing.destroy(new ConnectionError(`the connection was silent for ${silenceTimeoutMs} ms`));
    });
    this.#boundConnecting(outgoing, isSecure);
    writeBody(outgoing, body);
    return outgoing;
  }

  #boundConnecting(outgoing: ClientRequest, isSecure: boolean): void {
    const { clock, connectTimeoutMs } = this.#options;
    let cancel: CancelTimer = () => undefined;
    outgoing.once('socket', (socket) => {
      if (!socket.connecting) return;
      cancel = clock.schedule(connectTimeoutMs, () => {
        outgoing.destroy(new ConnectionError(`no connection within ${connectTimeoutMs} ms`));
      });
      socket.once(isSecure ? 'secureConnect' : 'connect', () => cancel());
    });
    outgoing.once('close', () => cancel());
  }

  async #take(outgoing: ClientRequest, incoming: IncomingMessage): Promise<S3HttpResponse> {
    const { statusCode = 0, statusMessage: reason } = incoming;
    const headers = Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]));
    const isHtml = headers['content-type']?.startsWith('text/html') === true;
    if (statusCode < 300 && !isHtml) {
      await sent(outgoing);
      return { statusCode, reason, headers, body: incoming };
    }
    const body = await readRefusal(incoming);
    if (!outgoing.writableFinished || !incoming.complete) outgoing.destroy();
    const text = body.toString('utf8', 0, 512).trimStart().toLowerCase();
    if (isHtml || text.startsWith('<!doctype html') || text.startsWith('<html')) {
      throw new HtmlAnswerError(statusCode, body.toString('utf8', 0, 2_048));
    }
    return { statusCode, reason, headers, body };
  }
}

function writeBody(outgoing: ClientRequest, body: S3HttpRequest['body']): void {
  if (!Array.isArray(body)) {
    outgoing.end(body as string | Uint8Array | undefined);
    return;
  }
  outgoing.cork(); // head and slices leave in one write
  for (const slice of body as readonly Uint8Array[]) if (slice.length > 0) outgoing.write(slice);
  outgoing.end();
}

/** Resolves when the whole body has been given to the system; until then its memory is in use. */
function sent(outgoing: ClientRequest): Promise<void> {
  if (outgoing.writableFinished) return Promise.resolve();
  return new Promise((resolve, reject) => {
    outgoing.once('finish', resolve);
    outgoing.once('close', () => reject(new ConnectionError('the connection ended before the whole body was sent')));
  });
}

/** As much of the answer as an error message needs. */
async function readRefusal(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= maxRefusalBytes) break;
    }
  } catch {
    // The status alone tells enough.
  }
  return Buffer.concat(chunks);
}

function queryString(query: S3HttpRequest['query'] = {}): string {
  const parts: string[] = [];
  for (const name of Object.keys(query).sort()) {
    const value = query[name];
    if (value === null || value === undefined) parts.push(encode(name));
    else for (const one of [value].flat()) parts.push(`${encode(name)}=${encode(one)}`);
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** As the signature encodes it. */
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const abortedError = (signal: AbortSignal): Error => {
  const error = new Error('the caller gave up', { cause: signal.reason });
  error.name = 'AbortError';
  return error;
};

const asConnectionError = (error: Error): Error =>
  error.name === 'AbortError' || error instanceof ConnectionError ? error : new ConnectionError(error.message, error);
