/**
 * Connections to one member of etcd: one for calls, and one for watches, so that neither waits behind the other. What waits for an
 * answer is on a list, by which a member that has stopped answering is noticed. Nothing is tried twice here.
 */
import {
  Client,
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientOptions,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import { failureOf, type Failure } from './failure.ts';
import type { EtcdMethod } from './methods.ts';

/** Something that waits for an answer. */
export interface Waiting {
  readonly sinceMs: number;
  /** When it gives up by itself. */
  readonly giveUpMs: number;
  fail(failure: Failure): void;
}

export type Outcome<Answer> = { readonly answer: Answer } | Failure;

export interface EtcdConnectionSettings {
  /** `host:port`. */
  readonly endpoint: string;
  /** Asked for at each new connection. */
  readonly credentials: () => ChannelCredentials;
}

/**
 * etcd counts pings that come more often than every 5 s (its default), or without a call in work, and closes the connection at the
 * third.
 */
const clientOptions: ClientOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

const asTheyAre = (bytes: Buffer): Buffer => bytes;

export class EtcdConnection {
  readonly endpoint: string;
  readonly waiting = new Set<Waiting>();
  readonly #settings: EtcdConnectionSettings;
  readonly #calls: Client;
  readonly #openStreams = new Set<{ cancel(): void }>();
  #streams: Client | undefined;
  #abandoned = false;

  constructor(settings: EtcdConnectionSettings) {
    this.endpoint = settings.endpoint;
    this.#settings = settings;
    this.#calls = this.#connect();
  }

  /** Sends one message and hands over the one that comes back. The answer to `cancel` is nobody's. */
  ask<Answer>(
    { path, decode }: EtcdMethod<never, Answer>,
    request: Buffer,
    metadata: Metadata,
    settled: (outcome: Outcome<Answer>) => void,
  ): { cancel(): void } {
    return this.#calls.makeUnaryRequest(path, asTheyAre, decode, request, metadata, {}, (error, answer) => {
      settled(error === null ? { answer: answer! } : failureOf(error, this.endpoint));
    });
  }

  /** The same for a method that is a stream in both directions: it ends behind the first message. */
  askStream<Answer>(
    { path, decode }: EtcdMethod<never, Answer>,
    request: Buffer,
    metadata: Metadata,
    settled: (outcome: Outcome<Answer>) => void,
  ): { cancel(): void } {
    const stream = this.#calls.makeBidiStreamRequest(path, asTheyAre, decode, metadata, {});
    stream.on('data', (answer: Answer) => {
      settled({ answer });
      stream.end();
    });
    stream.on('error', (error: ServiceError) => settled(failureOf(error, this.endpoint)));
    stream.on('end', () => settled(this.#ended()));
    stream.write(request);
    return stream;
  }

  /** A stream that stays open; it fails as cancelled when the connection is abandoned. */
  openStream<Answer>(
    { path, decode }: EtcdMethod<never, Answer>,
    metadata: Metadata,
  ): ClientDuplexStream<Buffer, Answer> {
    this.#streams ??= this.#connect();
    const stream = this.#streams.makeBidiStreamRequest(path, asTheyAre, decode, metadata, {});
    this.#openStreams.add(stream);
    // Also behind its end a stream may fail, when nobody listens any more.
    stream.on('error', () => undefined);
    stream.on('close', () => this.#openStreams.delete(stream));
    if (this.#abandoned) stream.cancel();
    return stream;
  }

  /** The next stream gets a connection of its own: the one there is does not answer, although the member does. */
  renewStreams(): void {
    const streams = this.#streams;
    this.#streams = undefined;
    for (const stream of [...this.#openStreams]) stream.cancel();
    streams?.close();
  }

  /** Everything that waits fails with `failure`, and the connections are closed. */
  abandon(failure: Failure): void {
    this.#abandoned = true;
    for (const waiting of [...this.waiting]) waiting.fail(failure);
    this.renewStreams();
    this.#calls.close();
  }

  #connect(): Client {
    const { endpoint, credentials } = this.#settings;
    return new Client(endpoint, credentials(), clientOptions);
  }

  #ended(): Failure {
    return {
      error: new MetadataError('unavailable', `etcd at ${this.endpoint} ended a call without an answer`),
      remedy: 'reconnect',
    };
  }
}
