/**
 * One watch on one connection: etcd's answers put together to whole revisions. A stream that has been silent for a while is asked for
 * its progress, so that a member which no longer answers is noticed; what progress says about revisions is not relied on.
 */
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import type { Revision, WatchBatch, WatchEvent } from '../metadata-store.ts';
import type { EtcdClient } from './client.ts';
import type { EtcdConnection } from './connection.ts';
import { failureOf, type Failure } from './failure.ts';
import type { Event, WatchResponse } from './generated/etcd/etcd.ts';
import type { EtcdKeys } from './keys.ts';
import { etcdMethods } from './methods.ts';

export interface WatchedRange {
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
  readonly fromRevision: Revision;
}

/** Why a stream ended; `remedy` as for calls. */
export class WatchFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message, { cause: failure.error });
    this.failure = failure;
  }
}

/** Silence after which progress is asked for. */
const askProgressAfterMs = 5_000;

/** etcd's number for an event that deleted its key. */
const deleted = 1;

const progressRequest = etcdMethods.watch.encode({ request: { $case: 'progress', value: {} } });

/** Batches from `fromRevision` on, until `signal` aborts. Throws WatchFailure, and MetadataError `compacted` or `replaced`. */
export async function* watchStream(
  client: EtcdClient,
  keys: EtcdKeys,
  { key, rangeEnd, fromRevision }: WatchedRange,
  signal: AbortSignal,
): AsyncGenerator<WatchBatch, void, undefined> {
  const { connection, stream } = await client.openStream(etcdMethods.watch, signal);
  const listener = new Listener(client, connection, stream);
  const cancel = (): void => stream.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  const isAborted = (): boolean => signal.aborted;
  if (isAborted()) cancel();
  const create = { key, rangeEnd, startRevision: BigInt(fromRevision), fragment: true };
  stream.write(etcdMethods.watch.encode({ request: { $case: 'create', value: create } }));
  try {
    let nextRevision = fromRevision;
    let fragments: Event[] = [];
    for await (const response of stream as AsyncIterable<WatchResponse>) {
      listener.heard();
      client.identity.checkCluster(response.header);
      if (response.canceled) throw canceled(response, connection);
      if (response.events.length === 0) continue;
      const events = fragments.length === 0 ? response.events : [...fragments, ...response.events];
      fragments = response.fragment ? events : [];
      if (response.fragment) continue;
      for (const batch of batchesOf(events, keys)) {
        if (batch.revision < nextRevision) continue;
        nextRevision = batch.revision + 1;
        client.identity.saw(batch.revision);
        yield batch;
        if (isAborted()) return;
      }
    }
    throw new WatchFailure({
      error: new MetadataError('unavailable', `etcd at ${connection.endpoint} ended a watch`),
      remedy: 'reconnect',
    });
  } catch (error) {
    if (isAborted()) return;
    client.identity.throwIfReplaced();
    if (error instanceof WatchFailure || error instanceof MetadataError) throw error;
    client.doubt(connection);
    throw new WatchFailure(listener.failure ?? failureOf(error as ServiceError, connection.endpoint));
  } finally {
    signal.removeEventListener('abort', cancel);
    listener.stop();
    stream.cancel();
  }
}

/** Notices that a stream has fallen silent. */
class Listener {
  readonly #client: EtcdClient;
  readonly #connection: EtcdConnection;
  readonly #stream: ClientDuplexStream<Buffer, WatchResponse>;
  #endWaiting: (() => void) | undefined;
  #cancelTimer: (() => void) | undefined;
  /** Why the stream was given up, when it was. */
  failure: Failure | undefined;

  constructor(client: EtcdClient, connection: EtcdConnection, stream: ClientDuplexStream<Buffer, WatchResponse>) {
    this.#client = client;
    this.#connection = connection;
    this.#stream = stream;
    this.#waitForAnswer();
  }

  heard(): void {
    this.stop();
    this.#cancelTimer = this.#client.clock.schedule(askProgressAfterMs, () => {
      this.#stream.write(progressRequest);
      this.#waitForAnswer();
    });
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#endWaiting?.();
    this.#endWaiting = undefined;
  }

  #waitForAnswer(): void {
    this.#endWaiting = this.#client.waitOn(this.#connection, (failure) => {
      this.failure = failure;
      this.#connection.renewStreams();
    });
  }
}

function canceled({ compactRevision, cancelReason }: WatchResponse, { endpoint }: EtcdConnection): Error {
  if (compactRevision !== 0n) {
    return new MetadataError('compacted', `etcd's history starts at revision ${compactRevision}`);
  }
  const error = new MetadataError('unavailable', `etcd at ${endpoint} ended a watch: ${cancelReason}`);
  const remedy = /invalid auth token|permission denied/i.test(cancelReason) ? 'renew-token' : 'reconnect';
  return new WatchFailure({ error, remedy });
}

/** Events come in the order of their revisions. */
function* batchesOf(events: readonly Event[], keys: EtcdKeys): Generator<WatchBatch, void, undefined> {
  let batch: WatchEvent[] = [];
  let revision: Revision = 0;
  for (const { type, kv } of events) {
    const modRevision = Number(kv!.modRevision);
    if (modRevision !== revision) {
      if (batch.length > 0) yield { revision, events: batch };
      batch = [];
      revision = modRevision;
    }
    batch.push(
      type === deleted
        ? { type: 'delete', key: keys.relative(kv!.key), modRevision }
        : { type: 'put', kv: keys.keyValue(kv!) },
    );
  }
  if (batch.length > 0) yield { revision, events: batch };
}
