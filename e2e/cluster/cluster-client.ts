/**
 * Requests to the right broker of a cluster: who leads what is learned from any broker that answers and asked again when it turns
 * out to be old. Versions are fixed; what a request answers is the caller's to judge.
 */
import {
  createTopics,
  describeError,
  ErrorCode,
  fetch,
  initProducerId,
  listOffsets,
  metadataApi,
  produce,
  zeroUuid,
  type Api,
  type ResponseOf,
} from '@kafscale/protocol';
import { ConnectionClosed, RawClient } from '@kafscale/testkit';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchRequest, fetchVersion } from '../fetch-request.ts';
import type { ProducerIdentity } from '../kills/sent-records.ts';
import type { BrokerUnderTest } from './cluster-under-test.ts';

const fetchBytes = 8 * 1024 * 1024;
const requestTimeoutMs = 20_000;
const retryPauseMs = 50;

/** A broker answered, but not with success. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: number;

  constructor(what: string, code: number) {
    super(`${what} was answered with ${describeError(code)?.name ?? code}`);
    this.code = code;
  }
}

/** Whether a client would try again: the connection is gone, or the error says so. */
export function isPassing(error: unknown): boolean {
  if (error instanceof Refused) return describeError(error.code)?.retriable === true;
  if (error instanceof ConnectionClosed) return true;
  const { code, message } = error as NodeJS.ErrnoException;
  return (
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code ?? '') || message.startsWith('no frame within')
  );
}

export function expectSuccess(what: string, code: number): void {
  if (code !== ErrorCode.NONE) throw new Refused(what, code);
}

export type MetadataAnswer = ResponseOf<typeof metadataApi>;

export class ClusterClient {
  readonly #brokers: () => readonly BrokerUnderTest[];
  readonly #connections = new Map<number, Promise<RawClient>>();

  /** `brokers` are those that may be asked now. */
  constructor(brokers: () => readonly BrokerUnderTest[]) {
    this.#brokers = brokers;
  }

  /** The connection to a broker's port, made when there is none that is open. */
  async connection(port: number): Promise<RawClient> {
    const known = this.#connections.get(port);
    if (
      known !== undefined &&
      (await known.then(
        ({ isClosed }) => !isClosed,
        () => false,
      ))
    )
      return known;
    const connecting = RawClient.connect({ port, timeoutMs: requestTimeoutMs });
    this.#connections.set(port, connecting);
    return connecting;
  }

  /** Asks the broker that has this port. A connection whose answer did not come is not used again. */
  async ask<Request, Response>(
    port: number,
    api: Api<Request, Response>,
    version: number,
    request: Request,
  ): Promise<Response> {
    const connection = await this.connection(port);
    try {
      return await connection.request(api, version, request);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Tries any broker until `work` succeeds or fails for good, for at most `limitMs`. */
  async untilDone<T>(work: (port: number) => Promise<T>, limitMs = 60_000): Promise<T> {
    const deadlineMs = performance.now() + limitMs;
    for (let attempt = 0; ; attempt += 1) {
      const brokers = this.#brokers();
      try {
        if (brokers.length === 0) throw new ConnectionClosed('no broker runs');
        return await work(brokers[attempt % brokers.length]!.port);
      } catch (error) {
        if (!isPassing(error) || performance.now() > deadlineMs) throw error;
        await sleep(retryPauseMs);
      }
    }
  }

  metadata(port: number, topic: string): Promise<MetadataAnswer> {
    return this.ask(port, metadataApi, 12, {
      topics: [{ topicId: zeroUuid, name: topic }],
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    });
  }

  async createTopic(
    name: string,
    numPartitions: number,
    settings: ReadonlyMap<string, string> = new Map(),
  ): Promise<void> {
    const configs = [...settings].map(([key, value]) => ({ name: key, value }));
    await this.untilDone(async (port) => {
      const wanted = { name, numPartitions, replicationFactor: -1, assignments: [], configs };
      const { topics } = await this.ask(port, createTopics, 5, {
        topics: [wanted],
        timeoutMs: 30_000,
        validateOnly: false,
      });
      const code = topics[0]!.errorCode;
      if (code !== ErrorCode.TOPIC_ALREADY_EXISTS) expectSuccess('CreateTopics', code);
    });
  }

  async producerIdentity(): Promise<ProducerIdentity> {
    return this.untilDone(async (port) => {
      const request = { transactionalId: null, transactionTimeoutMs: 60_000, producerId: -1n, producerEpoch: -1 };
      const { errorCode, producerId, producerEpoch } = await this.ask(port, initProducerId, 4, request);
      expectSuccess('InitProducerId', errorCode);
      return { producerId, producerEpoch };
    });
  }

  /** Broker ids by partition, as one broker that answers sees them; partitions without a leader are left out. */
  async leaders(topic: string): Promise<Map<number, number>> {
    return this.untilDone(async (port) => {
      const { topics } = await this.metadata(port, topic);
      expectSuccess('Metadata', topics[0]!.errorCode);
      const led = topics[0]!.partitions.filter(({ leaderId }) => leaderId >= 0);
      return new Map(led.map(({ partitionIndex, leaderId }) => [partitionIndex, leaderId]));
    });
  }

  /** The port of the broker that leads the partition, by a broker that answers. */
  async leaderPort(topic: string, partition: number, port: number): Promise<number> {
    const { brokers, topics } = await this.metadata(port, topic);
    expectSuccess('Metadata', topics[0]!.errorCode);
    const found = topics[0]!.partitions.find(({ partitionIndex }) => partitionIndex === partition);
    const leader = brokers.find(({ nodeId }) => nodeId === found?.leaderId);
    if (leader === undefined) throw new Refused('Metadata', ErrorCode.LEADER_NOT_AVAILABLE);
    return leader.port;
  }

  /** Answers the offset of the first record. */
  async produce(port: number, topic: string, partition: number, records: Buffer): Promise<number> {
    const { responses } = await this.ask(port, produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: '', partitionData: [{ index: partition, records }] }],
    });
    const answer = responses[0]!.partitionResponses[0]!;
    expectSuccess('Produce', answer.errorCode);
    return answer.baseOffset;
  }

  async endOffset(topic: string, partition: number): Promise<number> {
    return this.untilDone(async (any) => {
      const port = await this.leaderPort(topic, partition, any);
      const wanted = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp: -1n, maxNumOffsets: 1 };
      const { topics } = await this.ask(port, listOffsets, 4, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name: topic, partitions: [wanted] }],
        timeoutMs: 0,
      });
      expectSuccess('ListOffsets', topics[0]!.partitions[0]!.errorCode);
      return topics[0]!.partitions[0]!.offset;
    });
  }

  /** Batches from an offset on, as many as fit, in one run of bytes. */
  async fetch(topic: string, partition: number, fetchOffset: number): Promise<Buffer> {
    return this.untilDone(async (any) => {
      const port = await this.leaderPort(topic, partition, any);
      const request = fetchRequest({ topic, partition, fetchOffset, maxBytes: fetchBytes });
      const { errorCode, responses } = await this.ask(port, fetch, fetchVersion, request);
      expectSuccess('Fetch', errorCode);
      const answer = responses[0]!.partitions[0]!;
      expectSuccess('Fetch', answer.errorCode);
      return Buffer.concat(answer.records ?? []);
    });
  }

  async close(): Promise<void> {
    const open = [...this.#connections.values()];
    this.#connections.clear();
    await Promise.all(
      open.map((connecting) =>
        connecting.then(
          (client) => client.close(),
          () => undefined,
        ),
      ),
    );
  }
}
