/**
 * Calls to etcd: a deadline on each, the remedies that are safe for it, and a look at every answer whether it is still the same
 * store. A call that changes something goes out once and no more; what became of it when it fails is for its caller to find out.
 */
import type { Clock, Random } from '@kafscale/runtime';
import type { ChannelCredentials, ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import type { Revision } from '../metadata-store.ts';
import { EtcdAccess, type EtcdUser } from './access.ts';
import type { EtcdConnection, Outcome, Waiting } from './connection.ts';
import { EtcdConnections } from './connections.ts';
import type { Failure } from './failure.ts';
import type { ResponseHeader } from './generated/etcd/etcd.ts';
import { etcdMethods, type EtcdMethod } from './methods.ts';
import { StoreIdentity } from './store-identity.ts';

export interface EtcdClientSettings {
  /** `host:port` of the members. */
  readonly endpoints: readonly string[];
  /** Asked for at each new connection. */
  readonly credentials: () => ChannelCredentials;
  readonly user?: EtcdUser;
  readonly clock: Clock;
  readonly random: Random;
  /** A key that the user may read. */
  readonly probeKey: string;
  /** How long a call may take, waiting for a connection included. */
  readonly callDeadlineMs: number;
  /** How long a call may wait until another member is tried beside it. */
  readonly suspectAfterMs: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** `once`: for what must not reach etcd twice. Otherwise it is sent again after a failure, while there is time. */
  readonly attempts: 'once' | 'several';
  /** True for a stream of which one message each way is wanted. */
  readonly stream?: boolean;
}

export interface Answered<Answer> {
  readonly answer: Answer;
  /** The highest revision that was known when the call was sent. */
  readonly seenWhenSent: Revision;
}

interface AskOptions {
  readonly giveUpMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly stream?: boolean | undefined;
  readonly metadata?: Metadata;
}

const maxAttempts = 4;

export class EtcdClient {
  readonly identity: StoreIdentity;
  readonly clock: Clock;
  readonly #settings: EtcdClientSettings;
  readonly #connections: EtcdConnections;
  readonly #access: EtcdAccess;
  readonly #probeRequest: Buffer;

  constructor(settings: EtcdClientSettings) {
    this.#settings = settings;
    this.clock = settings.clock;
    this.#access = new EtcdAccess(settings.user);
    this.#connections = new EtcdConnections({
      ...settings,
      probe: (connection, giveUpMs, signal) => this.#probe(connection, giveUpMs, signal),
    });
    this.identity = new StoreIdentity((error) => this.#connections.close(error));
    this.#probeRequest = etcdMethods.range.encode({
      key: Buffer.from(settings.probeKey),
      rangeEnd: Buffer.alloc(0),
      limit: 1n,
      revision: 0n,
      keysOnly: true,
    });
  }

  get hasUser(): boolean {
    return this.#access.hasUser;
  }

  /** Throws MetadataError. */
  async call<Request, Answer extends { readonly header: ResponseHeader | undefined }>(
    method: EtcdMethod<Request, Answer>,
    request: Buffer,
    options: CallOptions,
  ): Promise<Answered<Answer>> {
    const { signal, attempts } = options;
    const giveUpMs = this.clock.monotonicMs() + this.#settings.callDeadlineMs;
    for (let attempt = 1; ; attempt += 1) {
      const connection = await this.#connections.current(giveUpMs, signal);
      const seenWhenSent = this.identity.seenRevision;
      const { metadata } = this.#access;
      const outcome = await this.#ask(connection, method, request, { ...options, giveUpMs });
      if (!('error' in outcome)) {
        this.identity.checkCluster(outcome.answer.header);
        return { answer: outcome.answer, seenWhenSent };
      }
      const { error, remedy } = outcome;
      if (remedy === 'reconnect') this.#connections.doubt(connection);
      if (remedy === 'renew-token') await this.#renewToken(connection, metadata, giveUpMs, signal);
      if (attempts === 'once' || remedy === 'nothing' || attempt >= maxAttempts) throw error;
      if (this.clock.monotonicMs() >= giveUpMs) throw error;
    }
  }

  /** A stream on the current connection. Errors that end it are for `streamFailed`. Throws MetadataError. */
  async openStream<Answer>(
    method: EtcdMethod<never, Answer>,
    signal: AbortSignal,
  ): Promise<{ readonly connection: EtcdConnection; readonly stream: ClientDuplexStream<Buffer, Answer> }> {
    const giveUpMs = this.clock.monotonicMs() + this.#settings.callDeadlineMs;
    const connection = await this.#connections.current(giveUpMs, signal);
    return { connection, stream: connection.openStream(method, this.#access.metadata) };
  }

  /** Something on a stream waits for an answer from now on; what `fail` does is its own affair. Answers how to end the waiting. */
  waitOn(connection: EtcdConnection, fail: (failure: Failure) => void): () => void {
    const sinceMs = this.clock.monotonicMs();
    const waiting: Waiting = {
      sinceMs,
      giveUpMs: sinceMs + this.#settings.callDeadlineMs,
      fail: (failure) => {
        connection.waiting.delete(waiting);
        fail(failure);
      },
    };
    connection.waiting.add(waiting);
    this.#connections.lookAfterWaiting();
    return () => connection.waiting.delete(waiting);
  }

  doubt(connection: EtcdConnection): void {
    this.#connections.doubt(connection);
  }

  close(): void {
    this.#connections.close(new MetadataError('unavailable', 'the metadata store is closed'));
  }

  async #renewToken(
    connection: EtcdConnection,
    refused: Metadata,
    giveUpMs: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await this.#access.renew(refused, async (user) => {
      const request = etcdMethods.authenticate.encode(user);
      const metadata = this.#access.withoutToken;
      const options = { giveUpMs, signal, metadata };
      const outcome = await this.#ask(connection, etcdMethods.authenticate, request, options);
      if (!('error' in outcome)) return outcome.answer.token;
      if (/authentication is not enabled/.test(outcome.error.message)) return undefined;
      throw outcome.error;
    });
  }

  async #probe(connection: EtcdConnection, giveUpMs: number, signal: AbortSignal): Promise<void> {
    let { metadata } = this.#access;
    if (this.#access.needsToken) await this.#renewToken(connection, metadata, giveUpMs, signal);
    for (let isSecond = false; ; isSecond = true) {
      const seenWhenSent = this.identity.seenRevision;
      ({ metadata } = this.#access);
      const outcome = await this.#ask(connection, etcdMethods.range, this.#probeRequest, { giveUpMs, signal });
      if (!('error' in outcome)) {
        this.identity.checkRevision(outcome.answer.header, seenWhenSent);
        return;
      }
      const { error, remedy } = outcome;
      // A member that refuses for a reason of its own is alive; whoever calls will be told.
      if (remedy === 'nothing' && error.kind !== 'aborted') return;
      if (remedy !== 'renew-token' || isSecond) throw error;
      await this.#renewToken(connection, metadata, giveUpMs, signal);
    }
  }

  #ask<Request, Answer>(
    connection: EtcdConnection,
    method: EtcdMethod<Request, Answer>,
    request: Buffer,
    { giveUpMs, signal, stream = false, metadata = this.#access.metadata }: AskOptions,
  ): Promise<Outcome<Answer>> {
    return new Promise((resolve) => {
      const settle = (outcome: Outcome<Answer>): void => {
        connection.waiting.delete(waiting);
        signal?.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const waiting: Waiting = {
        sinceMs: this.clock.monotonicMs(),
        giveUpMs,
        fail: (failure) => {
          settle(failure);
          call.cancel();
        },
      };
      const onAbort = (): void => {
        const error = new MetadataError('aborted', 'the caller gave up', { cause: signal?.reason as unknown });
        waiting.fail({ error, remedy: 'nothing' });
      };
      const call = stream
        ? connection.askStream(method, request, metadata, settle)
        : connection.ask(method, request, metadata, settle);
      connection.waiting.add(waiting);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      this.#connections.lookAfterWaiting();
    });
  }
}
