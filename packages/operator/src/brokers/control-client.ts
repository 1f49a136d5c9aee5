/**
 * Calls of the control API of brokers. One channel per broker, opened with the first call and closed when the broker is gone; every
 * call has a deadline and carries the cluster's token as it is at that moment.
 */
import {
  Client,
  credentials,
  Metadata,
  status,
  type ChannelCredentials,
  type ClientReadableStream,
  type ServiceError,
} from '@grpc/grpc-js';
import type {
  AssignmentUpdate,
  BrokerStatus,
  DrainPartitionsRequest,
  DrainPartitionsResponse,
  SetCordonRequest,
  TriggerFlushRequest,
  TriggerFlushResponse,
} from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import { loadControlApi, type ControlApi } from './control-api.ts';

/**
 * `refused`: the token is not the broker's. `unreachable`: it did not answer in time, or serves nothing at the moment: ask again, what
 * was asked for may have been done. `exhausted`: ask for less, or later. `not-possible`: not in the state the broker is in. `failed`:
 * anything else, a fault of one side.
 */
export type ControlCallErrorKind = 'refused' | 'unreachable' | 'exhausted' | 'not-possible' | 'failed';

export class ControlCallError extends Error {
  override readonly name = 'ControlCallError';
  readonly kind: ControlCallErrorKind;

  constructor(kind: ControlCallErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export interface ControlClientSettings {
  readonly clock: Clock;
  /** The token of the cluster's brokers, asked for at each call. */
  readonly token: () => Promise<string | undefined>;
  /** The certificates that sign the brokers', PEM; without them calls are in the clear. */
  readonly tlsCa?: Uint8Array;
  /** The operator's own certificate, PEM, where brokers ask for one. */
  readonly tlsIdentity?: { readonly cert: Uint8Array; readonly key: Uint8Array };
  /** The name the brokers' certificates are for, where it is not their address. */
  readonly tlsServerName?: string;
  /** Of calls that have no limit of their own. */
  readonly callDeadlineMs?: number;
}

export interface WatchOptions {
  /** All brokers' when absent. */
  readonly brokerId?: number;
  readonly signal: AbortSignal;
}

const MiB = 2 ** 20;
const channelOptions = {
  // The status of a broker with a hundred thousand partitions.
  'grpc.max_receive_message_length': 64 * MiB,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 5_000,
} as const;
const defaultDeadlineMs = 10_000;
const flushDeadlineMs = 70_000;
/** What a drain takes beside its own deadline. */
const drainGraceMs = 5_000;

/** The brokers of one cluster, by the address of their control ports. */
export class ControlClients {
  readonly #settings: ControlClientSettings;
  readonly #api: ControlApi = loadControlApi();
  readonly #clients = new Map<string, ControlClient>();

  constructor(settings: ControlClientSettings) {
    this.#settings = settings;
  }

  /** `address` is host:port. The channel is opened with the first call. */
  of(address: string): ControlClient {
    const known = this.#clients.get(address);
    if (known !== undefined) return known;
    const client = new ControlClient(address, this.#api, this.#settings);
    this.#clients.set(address, client);
    return client;
  }

  /** Closes the channels of all others: their brokers are gone. Calls under way end as `unreachable`. */
  retain(addresses: ReadonlySet<string>): void {
    for (const [address, client] of this.#clients) {
      if (addresses.has(address)) continue;
      this.#clients.delete(address);
      client.close();
    }
  }

  get addresses(): readonly string[] {
    return [...this.#clients.keys()];
  }

  close(): void {
    this.retain(new Set());
  }
}

/** Every method rejects with ControlCallError. All of them can be called again after any error. */
export class ControlClient {
  readonly address: string;
  readonly #client: Client;
  readonly #api: ControlApi;
  readonly #settings: ControlClientSettings;
  readonly #closed = new AbortController();

  constructor(address: string, api: ControlApi, settings: ControlClientSettings) {
    this.address = address;
    this.#api = api;
    this.#settings = settings;
    const { tlsServerName } = settings;
    const named = tlsServerName === undefined ? {} : { 'grpc.ssl_target_name_override': tlsServerName };
    this.#client = new Client(address, channelCredentials(settings), { ...channelOptions, ...named });
  }

  status(): Promise<BrokerStatus> {
    return this.#unary('GetStatus', {});
  }

  setCordon(request: SetCordonRequest): Promise<BrokerStatus> {
    return this.#unary('SetCordon', request);
  }

  /** Resolves with what is pending once the request's own deadline is over. */
  drain(request: DrainPartitionsRequest): Promise<DrainPartitionsResponse> {
    if (request.deadlineSeconds <= 0) {
      return Promise.reject(new ControlCallError('failed', 'a drain needs a deadline of at least a second'));
    }
    return this.#unary('DrainPartitions', request, request.deadlineSeconds * 1_000 + drainGraceMs);
  }

  flush(request: TriggerFlushRequest): Promise<TriggerFlushResponse> {
    return this.#unary('TriggerFlush', request, flushDeadlineMs);
  }

  /**
   * First everything that is asked for as it stands, then each change, as fast as it is taken. Ends when the signal aborts; rejects when
   * the broker ends it or is gone: then it is to be begun again, with this or another broker.
   */
  async *watchAssignments({ brokerId, signal }: WatchOptions): AsyncGenerator<AssignmentUpdate, void, void> {
    const { path, requestSerialize, responseDeserialize } = this.#api.assignmentStream['WatchAssignments']!;
    const metadata = await this.#metadata();
    const isOver = () => signal.aborted;
    if (isOver()) return;
    const stream: ClientReadableStream<AssignmentUpdate> = this.#client.makeServerStreamRequest(
      ...([path, requestSerialize, responseDeserialize, { brokerId }, metadata] as const),
    );
    const cancel = () => stream.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const update of stream) yield update as AssignmentUpdate;
      throw new ControlCallError('unreachable', `broker at ${this.address} ended the stream`);
    } catch (error) {
      if (!isOver()) throw callError(this.address, error);
    } finally {
      signal.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }

  close(): void {
    this.#closed.abort();
    this.#client.close();
  }

  async #unary<Request, Response>(
    method: string,
    request: Request,
    limitMs = this.#settings.callDeadlineMs ?? defaultDeadlineMs,
  ): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = this.#api.brokerControl[method]!;
    const metadata = await this.#metadata();
    const closed = this.#closed.signal;
    if (closed.aborted) throw new ControlCallError('unreachable', `the channel to ${this.address} is closed`);
    const options = { deadline: this.#settings.clock.wallMs() + limitMs };
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<Request, Response>(
        ...([path, requestSerialize, responseDeserialize, request, metadata, options] as const),
        (error, response) => {
          closed.removeEventListener('abort', cancel);
          if (error === null) resolve(response!);
          else reject(callError(this.address, error));
        },
      );
      const cancel = () => call.cancel();
      closed.addEventListener('abort', cancel, { once: true });
    });
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    const token = await this.#settings.token();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return metadata;
  }
}

function channelCredentials({ tlsCa, tlsIdentity }: ControlClientSettings): ChannelCredentials {
  if (tlsCa === undefined) return credentials.createInsecure();
  const own = tlsIdentity && ([Buffer.from(tlsIdentity.key), Buffer.from(tlsIdentity.cert)] as const);
  return credentials.createSsl(Buffer.from(tlsCa), own?.[0] ?? null, own?.[1] ?? null);
}

function callError(address: string, error: unknown): ControlCallError {
  if (error instanceof ControlCallError) return error;
  const { code, details } = error as ServiceError;
  return new ControlCallError(kindOf(code), `broker at ${address}: ${details}`, { cause: error });
}

function kindOf(code: status | undefined): ControlCallErrorKind {
  switch (code) {
    case status.UNAUTHENTICATED:
    case status.PERMISSION_DENIED:
      return 'refused';
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return 'unreachable';
    case status.RESOURCE_EXHAUSTED:
      return 'exhausted';
    case status.FAILED_PRECONDITION:
      return 'not-possible';
    default:
      return 'failed';
  }
}
