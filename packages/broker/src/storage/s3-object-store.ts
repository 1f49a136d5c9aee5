/**
 * Objects in a bucket of S3 or of a service that speaks its protocol. One call here is one request there: trying again, deadlines,
 * a bound on calls in flight and metrics are wrappers' (s3-stores.ts). Never creates a bucket.
 *
 * Bytes are protected end to end by a CRC-32 in a signed header, which the store checks against what arrived; the payload itself is
 * not hashed for the signature unless asked for (docs/adr/0011-unsigned-payloads-with-a-checksum.md).
 */
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type DeleteObjectsCommandOutput,
  type GetObjectCommandOutput,
  type ListObjectsV2CommandOutput,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { Clock } from '@kafscale/runtime';
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { checkObjectKey, checkRange } from './object-key.ts';
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore } from './object-store.ts';
import { readObjectBody } from './s3-body.ts';
import { s3Error } from './s3-errors.ts';
import { S3HttpHandler } from './s3-http-handler.ts';
import type { S3Settings } from './s3-settings.ts';
import { StorageError } from './storage-error.ts';

export interface S3ObjectStoreOptions {
  readonly settings: S3Settings;
  readonly clock: Clock;
  readonly connectTimeoutMs?: number;
  readonly silenceTimeoutMs?: number;
}

const connectTimeoutDefaultMs = 3_000;
const silenceTimeoutDefaultMs = 15_000;
/** S3's limit for one request. */
const maxDeletedAtOnce = 1_000;
/** Where a store has no request for many. */
const singleDeletesAtOnce = 16;

export class S3ObjectStore implements ObjectStore {
  readonly #settings: S3Settings;
  readonly #clock: Clock;
  readonly #handler: S3HttpHandler;
  readonly #client: S3Client;
  /** What every request carries. */
  readonly #bucket: { readonly Bucket: string; readonly ExpectedBucketOwner?: string };
  #conditionalCreate = true;
  #deletesMany = true;
  #closed = false;

  /** Throws StorageError `denied` for an endpoint that is no URL. Opens no connection. */
  constructor({ settings, clock, connectTimeoutMs, silenceTimeoutMs }: S3ObjectStoreOptions) {
    const { bucket, bucketOwner, concurrency } = settings;
    this.#settings = settings;
    this.#clock = clock;
    this.#bucket = { Bucket: bucket, ...(bucketOwner !== undefined && { ExpectedBucketOwner: bucketOwner }) };
    this.#handler = new S3HttpHandler({
      clock,
      connectTimeoutMs: connectTimeoutMs ?? connectTimeoutDefaultMs,
      silenceTimeoutMs: silenceTimeoutMs ?? silenceTimeoutDefaultMs,
      maxIdleConnections: concurrency,
    });
    this.#client = new S3Client(clientConfig(settings, this.#handler));
  }

  get capabilities(): { readonly conditionalCreate: boolean } {
    return { conditionalCreate: this.#conditionalCreate };
  }

  /** For a store that was seen to ignore or refuse the condition: creates carry it no more, and nobody is told to rely on it. */
  withoutConditionalCreate(): void {
    this.#conditionalCreate = false;
  }

  create(key: ObjectKey, body: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    return this.#call('create', key, signal, async (abortSignal) => {
      checkObjectKey(key);
      const { kmsArn, signPayload } = this.#settings;
      const command = new PutObjectCommand({
        ...this.#bucket,
        Key: key,
        ContentLength: body.reduce((length, slice) => length + slice.length, 0),
        ContentType: 'application/octet-stream',
        ChecksumCRC32: crc32Of(body),
        ...(this.#conditionalCreate && { IfNoneMatch: '*' }),
        ...(kmsArn !== undefined && {
          ServerSideEncryption: 'aws:kms',
          SSEKMSKeyId: kmsArn,
          BucketKeyEnabled: true,
        }),
      });
      onRequest(command, (request) => {
        request.headers['x-amz-content-sha256'] = signPayload ? sha256Of(body) : 'UNSIGNED-PAYLOAD';
        request.body = body;
      });
      await this.#client.send(command, { abortSignal });
    });
  }

  read(key: ObjectKey, range?: ByteRange, signal?: AbortSignal, into?: Buffer): Promise<Buffer> {
    return this.#call('read', key, signal, async (abortSignal) => {
      checkObjectKey(key);
      if (range !== undefined) checkRange(range);
      const command = new GetObjectCommand({
        ...this.#bucket,
        Key: key,
        // An empty range cannot be asked for; one byte more tells as well whether the object is there.
        ...(range !== undefined && { Range: `bytes=${range.start}-${Math.max(range.start, range.end - 1)}` }),
      });
      // Asked for by a field, the SDK would compare it too, at a cost.
      if (range === undefined) onRequest(command, ({ headers }) => (headers['x-amz-checksum-mode'] = 'ENABLED'));
      let answer: GetObjectCommandOutput;
      try {
        answer = await this.#client.send(command, { abortSignal });
      } catch (error) {
        if (range !== undefined && isBehindTheEnd(error)) return Buffer.alloc(0);
        throw error;
      }
      const bytes = await readObjectBody(answer.Body as Readable, { key, range, into, head: answer });
      return range === undefined ? bytes : bytes.subarray(0, range.end - range.start);
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
    let after: ObjectKey | undefined;
    for (;;) {
      const page = await this.#call('list', prefix, signal, (abortSignal) =>
        this.#client.send(
          new ListObjectsV2Command({
            ...this.#bucket,
            Prefix: prefix,
            ...(after !== undefined && { StartAfter: after }),
          }),
          { abortSignal },
        ),
      );
      const objects = this.#objectsOf(page, prefix);
      yield* objects;
      const last = objects.at(-1);
      if (page.IsTruncated !== true) return;
      if (last === undefined)
        throw new StorageError('unavailable', `list ${prefix}: the store answered a page of nothing`);
      after = last.key;
    }
  }

  delete(keys: readonly ObjectKey[], signal?: AbortSignal): Promise<void> {
    return this.#call('delete', keys[0] ?? 'nothing', signal, async (abortSignal) => {
      for (const key of keys) checkObjectKey(key);
      const distinct = [...new Set(keys)];
      for (let start = 0; start < distinct.length; start += maxDeletedAtOnce) {
        const some = distinct.slice(start, start + maxDeletedAtOnce);
        if (some.length > 1 && this.#deletesMany) await this.#deleteMany(some, abortSignal);
        else await this.#deleteEach(some, abortSignal);
      }
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#client.destroy();
    return Promise.resolve();
  }

  #objectsOf({ Name, Contents = [] }: ListObjectsV2CommandOutput, prefix: string): ObjectInfo[] {
    // Anything that is no list at all would otherwise look like an empty bucket.
    if (Name === undefined) throw new StorageError('corrupt', `list ${prefix}: the store did not answer with a list`);
    return Contents.map(({ Key, Size, LastModified }) => {
      if (Key === undefined || Size === undefined || LastModified === undefined) {
        throw new StorageError('corrupt', `list ${prefix}: the store left out key, size or time of an object`);
      }
      return { key: Key, sizeBytes: Size, modifiedMs: LastModified.getTime() };
    });
  }

  async #deleteMany(keys: readonly ObjectKey[], abortSignal: AbortSignal): Promise<void> {
    const Delete = { Objects: keys.map((Key) => ({ Key })), Quiet: true };
    let answer: DeleteObjectsCommandOutput;
    try {
      answer = await this.#client.send(new DeleteObjectsCommand({ ...this.#bucket, Delete }), { abortSignal });
    } catch (error) {
      if (!isNotOffered(error)) throw error;
      this.#deletesMany = false;
      return await this.#deleteEach(keys, abortSignal);
    }
    const fault = answer.Errors?.find(({ Code }) => Code !== 'NoSuchKey');
    if (fault === undefined) return;
    const kind = fault.Code === 'AccessDenied' ? 'denied' : 'unavailable';
    throw new StorageError(kind, `delete ${fault.Key ?? ''}: ${fault.Code ?? 'refused'}: ${fault.Message ?? ''}`);
  }

  async #deleteEach(keys: readonly ObjectKey[], abortSignal: AbortSignal): Promise<void> {
    const left = keys.values();
    const worker = async () => {
      for (const Key of left) {
        try {
          await this.#client.send(new DeleteObjectCommand({ ...this.#bucket, Key }), { abortSignal });
        } catch (error) {
          if (!isNoSuchKey(error)) throw error;
        }
      }
    };
    const workers = await Promise.allSettled(Array.from({ length: singleDeletesAtOnce }, worker));
    const failed = workers.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /**
   * Whatever ends the call early also ends its connection, so that nothing reads the body or writes to `into` any more once the
   * promise has settled.
   */
  async #call<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw new StorageError('unavailable', 'the object store is closed');
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal!.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await act(controller.signal);
    } catch (error) {
      controller.abort(error);
      if (signal?.aborted && !(error instanceof RangeError)) {
        throw new StorageError('aborted', `${operation} ${key}: the caller gave up`, { cause: error });
      }
      throw s3Error(error, `${operation} ${key}`, this.#settings, this.#clock.wallMs());
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }
}

function clientConfig(settings: S3Settings, handler: S3HttpHandler): S3ClientConfig {
  const { region, endpoint, pathStyle, credentials, variables } = settings;
  if (endpoint !== undefined && !/^https?:\/\//.test(endpoint)) {
    throw new StorageError(
      'denied',
      `${variables.endpoint} is "${endpoint}", which is no URL. Write http:// or https://, host and port.`,
    );
  }
  return {
    region,
    forcePathStyle: pathStyle,
    requestHandler: handler as unknown as NonNullable<S3ClientConfig['requestHandler']>,
    maxAttempts: 1, // wrappers of ours try again, with a bound and under the same name only where that is right
    requestChecksumCalculation: 'WHEN_REQUIRED', // we bring our own
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false, // a round trip more for each large object, and a new connection
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined && { credentials: identityOf(credentials) }),
  };
}

interface BuiltRequest {
  readonly headers: Record<string, string>;
  body?: unknown;
}

/** Changes the request of one call after the SDK has built it and before it signs it. */
function onRequest(command: PutObjectCommand | GetObjectCommand, change: (request: BuiltRequest) => void): void {
  const stack = command.middlewareStack as PutObjectCommand['middlewareStack'];
  stack.add(
    (next) => (args) => {
      change(args.request as BuiltRequest);
      return next(args);
    },
    { step: 'build', name: 'ownHeaders' },
  );
}

const identityOf = ({ sessionToken, ...keys }: NonNullable<S3Settings['credentials']>) =>
  sessionToken === undefined ? keys : { ...keys, sessionToken };

function crc32Of(body: readonly Uint8Array[]): string {
  const crc = body.reduce((value, slice) => crc32(slice, value), 0);
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

function sha256Of(body: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const slice of body) hash.update(slice);
  return hash.digest('hex');
}

const statusOf = (error: unknown) =>
  (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode;
const isBehindTheEnd = (error: unknown) => statusOf(error) === 416;
const isNotOffered = (error: unknown) => [405, 501].includes(statusOf(error) ?? 0);
const isNoSuchKey = (error: unknown) => (error as Error).name === 'NoSuchKey';
