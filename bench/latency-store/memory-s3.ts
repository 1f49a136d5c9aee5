/**
 * As much of S3 as a broker uses, in memory and in a process of its own, with a latency that is known: so that what a measurement
 * shows is the broker's. Signatures are not checked; the CRC-32 is taken as it comes and given back.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds from the end of a request to the first byte of its answer. */
export interface Latency {
  readonly putMs: number;
  readonly getMs: number;
  /** One request in a hundred takes this long instead. */
  readonly slowestMs: number;
}

/** What was asked for since the start. */
export interface Counts {
  puts: number;
  gets: number;
  others: number;
  putBytes: number;
  /** PUTs by what was put: `flush`, `merged`, `segment` and so on. */
  readonly putsOf: Record<string, number>;
}

interface StoredObject {
  /** Lies in one of the store's blocks. */
  readonly bytes: Buffer;
  readonly crc: string | undefined;
  readonly modified: string;
}

const slowShare = 0.01;
const pageSize = 1_000;
/** Objects share large blocks: a buffer for every read of a socket kept the garbage collector busy, and with it the broker waiting. */
const blockBytes = 64 * 2 ** 20;

export class MemoryS3 {
  latency: Latency;
  readonly counts: Counts = { puts: 0, gets: 0, others: 0, putBytes: 0, putsOf: {} };
  readonly #objects = new Map<string, StoredObject>();
  readonly #server: Server;
  #block = Buffer.alloc(0);
  #blockUsed = 0;

  constructor(latency: Latency) {
    this.latency = latency;
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(() => request.socket.destroy());
    });
    this.#server.keepAliveTimeout = 60_000;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const url = new URL(request.url!, 'http://127.0.0.1');
    if (url.pathname.startsWith('/-/')) return this.#control(url.pathname, chunks, response);
    const [, , ...rest] = url.pathname.split('/');
    const key = decodeURIComponent(rest.join('/'));
    await this.#wait(request.method === 'PUT' ? this.latency.putMs : this.latency.getMs);
    switch (request.method) {
      case 'PUT':
        return this.#put(key, chunks, request, response);
      case 'GET':
        return key === '' ? this.#list(url.searchParams, response) : this.#get(key, request.headers.range, response);
      case 'DELETE':
        this.counts.others += 1;
        this.#objects.delete(key);
        response.writeHead(204).end();
        return;
      case 'POST':
        return this.#deleteAll(Buffer.concat(chunks).toString(), response);
      default:
        this.counts.others += 1;
        response.writeHead(key === '' || this.#objects.has(key) ? 200 : 404).end();
    }
  }

  async #wait(usualMs: number): Promise<void> {
    const ms = usualMs > 0 && Math.random() < slowShare ? this.latency.slowestMs : usualMs;
    if (ms > 0) await sleep(ms);
  }

  #control(path: string, chunks: readonly Buffer[], response: ServerResponse): void {
    if (path === '/-/forget') this.#forget();
    if (path === '/-/latency') this.latency = JSON.parse(Buffer.concat(chunks).toString()) as Latency;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(this.counts));
  }

  /** Drops the flushes, for a load that nobody will read. */
  #forget(): void {
    for (const key of this.#objects.keys()) if (kindOf(key) === 'flush') this.#objects.delete(key);
  }

  #put(key: string, chunks: readonly Buffer[], { headers }: IncomingMessage, response: ServerResponse): void {
    const kind = kindOf(key);
    this.counts.puts += 1;
    this.counts.putsOf[kind] = (this.counts.putsOf[kind] ?? 0) + 1;
    this.counts.putBytes += chunks.reduce((total, { length }) => total + length, 0);
    if (headers['if-none-match'] === '*' && this.#objects.has(key)) return fail(response, 412, 'PreconditionFailed');
    const crc = headers['x-amz-checksum-crc32'] as string | undefined;
    this.#objects.set(key, { bytes: this.#keep(chunks), crc, modified: new Date().toISOString() });
    response.writeHead(200, { etag: '"0"' }).end();
  }

  #keep(chunks: readonly Buffer[]): Buffer {
    const size = chunks.reduce((total, { length }) => total + length, 0);
    if (this.#blockUsed + size > this.#block.length) {
      this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, size));
      this.#blockUsed = 0;
    }
    const start = this.#blockUsed;
    for (const chunk of chunks) this.#blockUsed += chunk.copy(this.#block, this.#blockUsed);
    return this.#block.subarray(start, this.#blockUsed);
  }

  #get(key: string, range: string | undefined, response: ServerResponse): void {
    this.counts.gets += 1;
    const object = this.#objects.get(key);
    if (object === undefined) return fail(response, 404, 'NoSuchKey');
    const { bytes } = object;
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    if (first === undefined) {
      const checksum = object.crc === undefined ? {} : { 'x-amz-checksum-crc32': object.crc };
      response.writeHead(200, { 'content-length': bytes.length, ...checksum }).end(bytes);
      return;
    }
    if (Number(first) >= bytes.length) return fail(response, 416, 'InvalidRange');
    const body = bytes.subarray(Number(first), Number(last) + 1);
    const contentRange = `bytes ${first}-${Number(first) + body.length - 1}/${bytes.length}`;
    response.writeHead(206, { 'content-length': body.length, 'content-range': contentRange }).end(body);
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    this.counts.others += 1;
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
    const limit = Math.min(Number(query.get('max-keys') ?? pageSize), pageSize);
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, limit);
    const contents = page.map((key) => {
      const { bytes, modified } = this.#objects.get(key)!;
      return `<Contents><Key>${key}</Key><Size>${bytes.length}</Size><LastModified>${modified}</LastModified><ETag>"0"</ETag></Contents>`;
    });
    const isTruncated = keys.length > page.length;
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)!}</NextContinuationToken>` : '';
    const counted = `<KeyCount>${page.length}</KeyCount><IsTruncated>${isTruncated}</IsTruncated>${next}`;
    xml(response, `<ListBucketResult><Name>bench</Name>${counted}${contents.join('')}</ListBucketResult>`);
  }

  #deleteAll(body: string, response: ServerResponse): void {
    this.counts.others += 1;
    for (const [, key] of body.matchAll(/<Key>(.*?)<\/Key>/g)) this.#objects.delete(key!);
    xml(response, '<DeleteResult></DeleteResult>');
  }
}

/** By the broker's names: `{namespace}/{kind}/...`, or `{namespace}/{topic}/{partition}/...` for segments. */
function kindOf(key: string): string {
  if (key.endsWith('.kfs')) return 'segment';
  if (key.endsWith('.index')) return 'segment index';
  return key.split('/')[1] ?? 'other';
}

function xml(response: ServerResponse, body: string, status = 200): void {
  const text = `<?xml version="1.0" encoding="UTF-8"?>${body}`;
  response
    .writeHead(status, { 'content-type': 'application/xml', 'content-length': Buffer.byteLength(text) })
    .end(text);
}

function fail(response: ServerResponse, status: number, code: string): void {
  xml(response, `<Error><Code>${code}</Code><Message>${code}</Message></Error>`, status);
}
