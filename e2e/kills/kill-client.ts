/** The few requests that the kill suites make, one connection each, at fixed versions, with nothing retried behind their back. */
import {
  createTopics,
  ErrorCode,
  fetch,
  findCoordinator,
  initProducerId,
  listOffsets,
  offsetCommit,
  offsetFetch,
  produce,
} from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { setTimeout as sleep } from 'node:timers/promises';
import { fetchRequest, fetchVersion } from '../fetch-request.ts';
import type { ProducerIdentity } from './sent-records.ts';

export const topic = 'kills';
const group = 'kills-group';
const fetchBytes = 32 * 1024 * 1024;

/** The broker answered, but not with success. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code: number;

  constructor(what: string, code: number) {
    super(`${what} answered with error ${code}`);
    this.code = code;
  }
}

function expectNoError(what: string, code: number): void {
  if (code !== ErrorCode.NONE) throw new RefusedError(what, code);
}

export class KillClient {
  readonly #raw: RawClient;

  private constructor(raw: RawClient) {
    this.#raw = raw;
  }

  static async connect(port: number): Promise<KillClient> {
    return new KillClient(await RawClient.connect({ port, timeoutMs: 30_000 }));
  }

  async createTopic(numPartitions: number): Promise<void> {
    const wanted = { name: topic, numPartitions, replicationFactor: -1, assignments: [], configs: [] };
    const { topics } = await this.#raw.request(createTopics, 5, {
      topics: [wanted],
      timeoutMs: 30_000,
      validateOnly: false,
    });
    const code = topics[0]!.errorCode;
    if (code !== ErrorCode.TOPIC_ALREADY_EXISTS) expectNoError('CreateTopics', code);
  }

  async initProducerId(): Promise<ProducerIdentity> {
    const request = { transactionalId: null, transactionTimeoutMs: 60_000, producerId: -1n, producerEpoch: -1 };
    const { errorCode, producerId, producerEpoch } = await this.#raw.request(initProducerId, 4, request);
    expectNoError('InitProducerId', errorCode);
    return { producerId, producerEpoch };
  }

  /** Answers the offset of the batch's first record. */
  async produce(partition: number, records: Buffer, acks: number): Promise<number> {
    const { responses } = await this.#raw.request(produce, 9, {
      transactionalId: null,
      acks,
      timeoutMs: 30_000,
      topicData: [{ name: topic, topicId: '', partitionData: [{ index: partition, records }] }],
    });
    const answer = responses[0]!.partitionResponses[0]!;
    expectNoError('Produce', answer.errorCode);
    return answer.baseOffset;
  }

  async findCoordinator(): Promise<void> {
    const { errorCode } = await this.#raw.request(findCoordinator, 3, { key: group, keyType: 0, coordinatorKeys: [] });
    expectNoError('FindCoordinator', errorCode);
  }

  async commitOffset(partition: number, committedOffset: number): Promise<void> {
    const { topics } = await this.#raw.request(offsetCommit, 7, {
      groupId: group,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1n,
      topics: [
        {
          name: topic,
          topicId: '',
          partitions: [
            {
              partitionIndex: partition,
              committedOffset: BigInt(committedOffset),
              committedLeaderEpoch: -1,
              commitTimestamp: -1n,
              committedMetadata: `at ${committedOffset}`,
            },
          ],
        },
      ],
    });
    expectNoError('OffsetCommit', topics[0]!.partitions[0]!.errorCode);
  }

  /** The committed offset and what was written beside it; undefined when there is none. */
  async committedOffset(partition: number): Promise<{ offset: number; metadata: string } | undefined> {
    const { errorCode, topics } = await this.#raw.request(offsetFetch, 5, {
      groupId: group,
      topics: [{ name: topic, partitionIndexes: [partition] }],
      groups: [],
      requireStable: false,
    });
    expectNoError('OffsetFetch', errorCode);
    const { committedOffset, metadata, errorCode: partitionError } = topics[0]!.partitions[0]!;
    expectNoError('OffsetFetch', partitionError);
    return committedOffset < 0n ? undefined : { offset: Number(committedOffset), metadata: metadata ?? '' };
  }

  async endOffset(partition: number): Promise<number> {
    const { topics } = await this.#raw.request(listOffsets, 4, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [
        {
          name: topic,
          partitions: [{ partitionIndex: partition, currentLeaderEpoch: -1, timestamp: -1n, maxNumOffsets: 1 }],
        },
      ],
      timeoutMs: 0,
    });
    const answer = topics[0]!.partitions[0]!;
    expectNoError('ListOffsets', answer.errorCode);
    return answer.offset;
  }

  /** Batches from an offset on, as many as fit, in one run of bytes. */
  async fetch(partition: number, fetchOffset: number): Promise<Buffer> {
    const request = fetchRequest({ topic, partition, fetchOffset, maxBytes: fetchBytes });
    const { errorCode, responses } = await this.#raw.request(fetch, fetchVersion, request);
    expectNoError('Fetch', errorCode);
    const answer = responses[0]!.partitions[0]!;
    expectNoError('Fetch', answer.errorCode);
    return Buffer.concat(answer.records ?? []);
  }

  async close(): Promise<void> {
    await this.#raw.close();
  }
}

/** Errors by which a broker that has just started says that it is not ready yet. */
const notReadyYet: readonly number[] = [
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
];

/** Asks again, for at most half a minute, while the broker says that it is not ready. */
export async function untilReady<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof RefusedError) || !notReadyYet.includes(error.code) || attempt > 300) throw error;
      await sleep(100);
    }
  }
}
