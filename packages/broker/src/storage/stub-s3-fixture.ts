/**
 * A small S3 in this process, for what a real one cannot be told to do: refuse, hang, cut an answer short, send other bytes, swallow
 * a reply, answer as a web server would. Checks what a strict store checks: the CRC-32 and the condition of a create.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc32 } from 'node:zlib';
import { s3Variables, type S3Settings } from './s3-settings.ts';

export interface S3Request {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/**
 * - `pass`: as a good store answers.
 * - `hang`: takes the request and never answers. `hang-body`: sends the head and half of the body.
 * - `reset`: closes the connection without an answer. `swallow`: does as asked, then the same.
 * - `cut`: closes in the middle of the body. `wrong-bytes`: one byte of the body is another. `whole`: ignores a range.
 */
export type S3Fault =
  | 'pass'
  | 'hang'
  | 'hang-body'
  | 'reset'
  | 'swallow'
  | 'cut'
  | 'wrong-bytes'
  | 'whole'
  | {
      readonly status: number;
      readonly code: string;
      readonly headers?: Record<string, string>;
      readonly early?: boolean;
    }
  | { readonly html: number };

interface StoredObject {
  readonly bytes: Buffer;
  readonly crc: string;
  readonly modified: Date;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

const bucket = 'bucket';

/** All but the endpoint. */
export const stubSettings: S3Settings = {
  bucket,
  region: 'us-east-1',
  endpoint: undefined,
  pathStyle: true,
  credentials: { accessKeyId: 'key', secretAccessKey: 'secret', sessionToken: undefined },
  kmsArn: undefined,
  bucketOwner: undefined,
  signPayload: false,
  concurrency: 64,
  variables: s3Variables,
};

export class StubS3 {
  readonly objects = new Map<string, StoredObject>();
  readonly requests: S3Request[] = [];
  /** What becomes of each request; may be replaced at any time. */
  plan: (request: S3Request) => S3Fault = () => 'pass';
  /** False plays a store that overwrites in spite of the condition. */
  conditionalCreate = true;
  pageSize = 1_000;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(
      (request, response) => void this.#serve(request, response).catch(() => request.socket.destroy()),
    );
  }

  static async start(): Promise<StubS3> {
    const server = new StubS3();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** For a store that talks to this server. */
  get settings(): S3Settings {
    return { ...stubSettings, endpoint: this.endpoint };
  }

  async openConnections(): Promise<number> {
    return await new Promise((resolve) => this.#server.getConnections((_, count) => resolve(count)));
  }

  async close(): Promise<void> {
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url!, this.endpoint);
    const key = decodeURIComponent(url.pathname).slice(bucket.length + 2);
    const head = { method: incoming.method!, key, query: url.searchParams, headers: incoming.headers };
    const early = this.plan({ ...head, body: Buffer.alloc(0) });
    if (typeof early === 'object' && 'early' in early && early.early) {
      this.requests.push({ ...head, body: Buffer.alloc(0) });
      send(response, errorAnswer(early.status, early.code));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const request = { ...head, body: Buffer.concat(chunks) };
    this.requests.push(request);
    this.#answer(request, early, incoming, response);
  }

  #answer(request: S3Request, fault: S3Fault, incoming: IncomingMessage, response: ServerResponse): void {
    if (typeof fault === 'object') {
      if ('html' in fault) {
        const body = Buffer.from('<!DOCTYPE html><html><body><h1>Welcome to the console</h1></body></html>');
        send(response, { status: fault.html, headers: { 'content-type': 'text/html; charset=utf-8' }, body });
      } else send(response, errorAnswer(fault.status, fault.code, fault.headers));
      return;
    }
    if (fault === 'hang') return;
    if (fault === 'reset') {
      incoming.socket.destroy();
      return;
    }
    const answer = this.#do(fault === 'whole' ? { ...request, headers: {} } : request);
    const { body } = answer;
    switch (fault) {
      case 'swallow':
        incoming.socket.destroy();
        return;
      case 'cut':
      case 'hang-body':
        response.writeHead(answer.status, { ...answer.headers, 'content-length': body.length });
        response.write(body.subarray(0, body.length >>> 1), () => fault === 'cut' && incoming.socket.destroy());
        return;
      case 'wrong-bytes': {
        const wrong = Buffer.from(body);
        wrong[wrong.length >>> 1]! ^= 0xff;
        send(response, { ...answer, body: wrong });
        return;
      }
      default:
        send(response, answer);
    }
  }

  #do(request: S3Request): Answer {
    switch (request.method) {
      case 'PUT':
        return this.#put(request);
      case 'GET':
        return request.key === '' ? this.#list(request) : this.#get(request);
      case 'DELETE':
        this.objects.delete(request.key);
        return { status: 204, headers: {}, body: Buffer.alloc(0) };
      default:
        for (const [, key] of request.body.toString().matchAll(/<Key>(.*?)<\/Key>/g))
          this.objects.delete(unescape(key!));
        return xml('<DeleteResult></DeleteResult>');
    }
  }

  #put({ key, headers, body }: S3Request): Answer {
    const crc = crcOf(body);
    if (headers['x-amz-checksum-crc32'] !== crc) return errorAnswer(400, 'BadDigest');
    if (this.conditionalCreate && headers['if-none-match'] === '*' && this.objects.has(key)) {
      return errorAnswer(412, 'PreconditionFailed');
    }
    this.objects.set(key, { bytes: body, crc, modified: new Date() });
    return { status: 200, headers: { etag: '"0"' }, body: Buffer.alloc(0) };
  }

  #get({ key, headers }: S3Request): Answer {
    const object = this.objects.get(key);
    if (object === undefined) return errorAnswer(404, 'NoSuchKey');
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    if (first === undefined)
      return { status: 200, headers: { 'x-amz-checksum-crc32': object.crc }, body: object.bytes };
    if (Number(first) >= object.bytes.length) return errorAnswer(416, 'InvalidRange');
    const body = object.bytes.subarray(Number(first), Number(last) + 1);
    const range = `bytes ${first}-${Number(first) + body.length - 1}/${object.bytes.length}`;
    return { status: 206, headers: { 'content-range': range }, body };
  }

  #list({ query }: S3Request): Answer {
    const prefix = query.get('prefix') ?? '';
    const after = Buffer.from(query.get('start-after') ?? '');
    const keys = [...this.objects.keys()]
      .filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
      .sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
    const contents = keys.slice(0, this.pageSize).map((key) => {
      const { bytes, modified } = this.objects.get(key)!;
      const time = modified.toISOString();
      return `<Contents><Key>${escape(key)}</Key><LastModified>${time}</LastModified><Size>${bytes.length}</Size></Contents>`;
    });
    const isTruncated = keys.length > this.pageSize;
    return xml(
      `<ListBucketResult><Name>${bucket}</Name><IsTruncated>${isTruncated}</IsTruncated>${contents.join('')}</ListBucketResult>`,
    );
  }
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, ...(status !== 204 && { 'content-length': body.length }) });
  response.end(body);
}

const xml = (text: string): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/xml' },
  body: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>${text}`),
});
const errorAnswer = (status: number, code: string, headers: Record<string, string> = {}): Answer => ({
  ...xml(`<Error><Code>${code}</Code><Message>as planned</Message></Error>`),
  status,
  headers: { 'content-type': 'application/xml', ...headers },
});
const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const unescape = (text: string) => text.replaceAll('&lt;', '<').replaceAll('&amp;', '&');

function crcOf(bytes: Buffer): string {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(bytes));
  return crc.toString('base64');
}
