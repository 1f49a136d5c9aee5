/**
 * The brokers of one Kafka cluster as a client knows them: a connection to any of them, to the controller or to a leader, and calls
 * that are repeated while they can still succeed.
 */
import { ErrorCode, metadataApi, zeroUuid, type Api, type ResponseOf } from '@kafscale/protocol';
import { backoffDelayMs, type Clock, type Random } from '@kafscale/runtime';
import { KafkaConnection, KafkaUnreachable, type KafkaAddress } from './kafka-connection.ts';

export interface KafkaBroker extends KafkaAddress {
  readonly nodeId: number;
}

export interface KafkaClusterSettings {
  /** Any of the brokers; the first that answers tells of the others. */
  readonly bootstrap: readonly KafkaAddress[];
  readonly clock: Clock;
  readonly random: Random;
  /** Where a broker is reached from here, in case what it tells clients is not the way. */
  readonly addressOf?: (broker: KafkaBroker) => KafkaAddress;
  /** Of a call as a whole, repetitions included. */
  readonly deadlineMs?: number;
  /** Of one request. */
  readonly requestMs?: number;
}

/** Who is asked. */
export type Target = 'any' | 'controller' | KafkaBroker;

export type ClusterMetadata = ResponseOf<typeof metadataApi>;

const defaultDeadlineMs = 30_000;
const defaultRequestMs = 10_000;
const connectMs = 3_000;
const backoff = { baseMs: 50, maxMs: 1_000 };

/** Time that is left for a call and for what it repeats. */
export class Patience {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #untilMs: number;
  #attempt = 0;

  constructor(clock: Clock, random: Random, limitMs: number) {
    this.#clock = clock;
    this.#random = random;
    this.#untilMs = clock.monotonicMs() + limitMs;
  }

  get leftMs(): number {
    return Math.max(0, this.#untilMs - this.#clock.monotonicMs());
  }

  /** Waits a little before the next attempt; false when there is no time for one. */
  async again(): Promise<boolean> {
    const delayMs = backoffDelayMs(this.#attempt, backoff, this.#random);
    this.#attempt += 1;
    if (delayMs >= this.leftMs) return false;
    await this.#clock.sleep(delayMs);
    return true;
  }
}

export class KafkaCluster {
  readonly #settings: KafkaClusterSettings;
  /** By host and port; those that are being opened included. */
  readonly #connections = new Map<string, Promise<KafkaConnection>>();
  #brokers: readonly KafkaBroker[] = [];
  #controllerId = -1;
  #isClosed = false;

  constructor(settings: KafkaClusterSettings) {
    this.#settings = settings;
  }

  patience(): Patience {
    const { clock, random, deadlineMs = defaultDeadlineMs } = this.#settings;
    return new Patience(clock, random, deadlineMs);
  }

  /** Asks until somebody answers. Rejects with KafkaUnreachable when the patience is over, and what else goes wrong at once. */
  async ask<Request, Response>(
    api: Api<Request, Response>,
    request: Request,
    { target = 'any', patience = this.patience() }: { readonly target?: Target; readonly patience?: Patience } = {},
  ): Promise<Response> {
    for (;;) {
      try {
        return await this.askOnce(api, request, { target, patience });
      } catch (error) {
        if (!(error instanceof KafkaUnreachable) || this.#isClosed || !(await patience.again())) throw error;
      }
    }
  }

  /** As `ask`, without a repetition. */
  async askOnce<Request, Response>(
    api: Api<Request, Response>,
    request: Request,
    { target, patience }: { readonly target: Target; readonly patience: Patience },
  ): Promise<Response> {
    const connection = await this.#reach(target, patience);
    const { requestMs = defaultRequestMs } = this.#settings;
    return connection.request(api, request, Math.min(requestMs, patience.leftMs));
  }

  /** Of these topics, or of all. What it says of brokers is remembered. */
  async metadata(topics?: readonly string[], patience = this.patience()): Promise<ClusterMetadata> {
    const request = {
      topics: topics === undefined ? null : topics.map((name) => ({ name, topicId: zeroUuid })),
      ...{ allowAutoTopicCreation: false },
      ...{ includeClusterAuthorizedOperations: false, includeTopicAuthorizedOperations: false },
    };
    for (;;) {
      const metadata = await this.ask(metadataApi, request, { patience });
      this.#brokers = metadata.brokers;
      this.#controllerId = metadata.controllerId;
      if (metadata.errorCode === ErrorCode.NONE || !(await patience.again())) return metadata;
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const connection of this.#connections.values()) {
      connection.then(
        (open) => open.close(),
        () => undefined,
      );
    }
    this.#connections.clear();
  }

  async #reach(target: Target, patience: Patience): Promise<KafkaConnection> {
    if (this.#isClosed) throw new KafkaUnreachable('the client is closed');
    if (target === 'any') return this.#reachAny(patience);
    if (target !== 'controller') return this.#connect(this.#addressOf(target), patience);
    await this.metadata([], patience);
    const controller = this.#brokers.find(({ nodeId }) => nodeId === this.#controllerId);
    if (controller === undefined) throw new KafkaUnreachable('the cluster has no controller at the moment');
    return this.#connect(this.#addressOf(controller), patience);
  }

  /** Over a connection that stands, or the first broker that can be reached. */
  async #reachAny(patience: Patience): Promise<KafkaConnection> {
    const known = [...this.#settings.bootstrap, ...this.#brokers.map((broker) => this.#addressOf(broker))];
    const standing = known.filter((address) => this.#connections.has(keyOf(address)));
    let failure: unknown = new KafkaUnreachable('there is no broker to ask');
    for (const address of [...standing, ...known]) {
      try {
        return await this.#connect(address, patience);
      } catch (error) {
        failure = error;
        if (patience.leftMs === 0) break;
      }
    }
    throw failure;
  }

  #addressOf(broker: KafkaBroker): KafkaAddress {
    return this.#settings.addressOf?.(broker) ?? broker;
  }

  async #connect(address: KafkaAddress, patience: Patience): Promise<KafkaConnection> {
    const key = keyOf(address);
    const known = this.#connections.get(key);
    if (known !== undefined) {
      const connection = await known;
      if (!connection.isClosed) return connection;
      if (this.#connections.get(key) === known) this.#connections.delete(key);
      return this.#connect(address, patience);
    }
    const limitMs = Math.min(connectMs, patience.leftMs);
    const opening = KafkaConnection.open(address, this.#settings.clock, limitMs);
    this.#connections.set(key, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.#connections.get(key) === opening) this.#connections.delete(key);
      throw error;
    }
  }
}

const keyOf = ({ host, port }: KafkaAddress) => `${host}:${port}`;
