/** One HTTP exchange with an API server, whatever carries it. */

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface ApiResponse {
  readonly status: number;
  header(name: string): string | undefined;
  /** The body as it comes; throws when the connection breaks or the request's signal aborts. */
  readonly body: AsyncIterable<Buffer>;
}

export interface Connection {
  /** True when it notices by itself, within seconds, that nobody answers any more, also under a watch on which nothing happens. */
  readonly noticesSilence: boolean;
  /** False once no new request may start on it; those that run may still end well. */
  readonly usable: boolean;
  /** Answers when the head of the response is there. Throws NotProcessed when the server certainly did nothing. */
  send(request: ApiRequest, signal: AbortSignal): Promise<ApiResponse>;
  close(): void;
}

/** The request never reached a server that worked on it: it may be sent again, even a write. */
export class NotProcessed extends Error {
  override readonly name = 'NotProcessed';
}
