/** For tests of the control port: a client that says what it is told to say, the token included, and gives what comes back as it is. */
import { Client, credentials, Metadata, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js';
import type {
  AssignmentUpdate,
  BrokerStatus,
  ControlPartition,
  DrainPartitionsResponse,
  TriggerFlushResponse,
} from '@kafscale/protocol';
import { loadControlApi } from './control-api.ts';

export const fixtureToken = 'a-token-of-the-tests';

export interface Watched {
  readonly updates: AssignmentUpdate[];
  /** With which the stream ended; undefined while it stands. */
  error(): ServiceError | undefined;
  cancel(): void;
}

export class ControlClient {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  constructor(port: number, token: string | undefined = fixtureToken, channel?: ChannelCredentials) {
    this.#client = new Client(`127.0.0.1:${port}`, channel ?? credentials.createInsecure());
    if (token !== '') this.#metadata.set('authorization', `Bearer ${token}`);
  }

  status(): Promise<BrokerStatus> {
    return this.#call('GetStatus', {});
  }

  cordon(cordoned: boolean): Promise<BrokerStatus> {
    return this.#call('SetCordon', { cordoned, reason: 'test' });
  }

  drain(partitions: readonly ControlPartition[] = [], deadlineSeconds = 20): Promise<DrainPartitionsResponse> {
    return this.#call('DrainPartitions', { partitions, deadlineSeconds, reason: 'test' });
  }

  flush(partitions: readonly ControlPartition[], allAssigned = false): Promise<TriggerFlushResponse> {
    return this.#call('TriggerFlush', { partitions, allAssigned });
  }

  /** Reads what comes; nothing at all with `reads` false. */
  watch(brokerId?: number, reads = true): Watched {
    const { path, requestSerialize, responseDeserialize } = loadControlApi().assignmentStream['WatchAssignments']!;
    const stream = this.#client.makeServerStreamRequest<unknown, AssignmentUpdate>(
      ...([path, requestSerialize, responseDeserialize, { brokerId }, this.#metadata] as const),
    );
    const updates: AssignmentUpdate[] = [];
    let error: ServiceError | undefined;
    stream.on('error', (reason: ServiceError) => (error = reason));
    if (reads) stream.on('data', (update: AssignmentUpdate) => void updates.push(update));
    else stream.pause();
    return { updates, error: () => error, cancel: () => stream.cancel() };
  }

  /** Any call with any message. */
  call(method: string, request: unknown): Promise<unknown> {
    return this.#call(method, request);
  }

  close(): void {
    this.#client.close();
  }

  #call<Response>(method: string, request: unknown): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = loadControlApi().brokerControl[method]!;
    const options = { deadline: Date.now() + 30_000 };
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<unknown, Response>(
        ...([path, requestSerialize, responseDeserialize, request, this.#metadata, options] as const),
        (error, response) => {
          if (error === null) resolve(response!);
          else reject(error);
        },
      );
    });
  }
}
