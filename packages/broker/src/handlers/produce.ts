/**
 * Produce v0-13: batches are judged, appended in the order they stand in the request, and answered once they are durable; acks 1
 * means the same as acks all. Versions 0-2 are advertised for librdkafka's sake and end the connection, as in Kafka 4. Batches for a
 * partition that is about to be opened here, or on its way to another broker, wait a moment for that; the new leader stands beside
 * NOT_LEADER_OR_FOLLOWER (KIP-951). Not implemented: transactions.
 */
import {
  ErrorCode,
  KafkaError,
  produce,
  validateProducedBatch,
  type BatchRules,
  type RecordBatchView,
  type RequestOf,
  type ResponseOf,
  type TopicConfig,
} from '@kafscale/protocol';
import type { Whereabouts } from '../cluster/partition-finder.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import { lastSequence } from '../log/producer-state.ts';
import type { AppendOutcome } from '../log/write/pending-batch.ts';
import type { PartitionImage, TopicImage } from '../metadata/metadata-image.ts';
import { CloseConnection, defineHandler, noResponse, type RequestContext } from './define-handler.ts';
import { findPartition } from './find-partition.ts';
import { leaderHint, noLeader } from './leader-hint.ts';
import type { Services } from './services.ts';

type Request = RequestOf<typeof produce>;
type Response = ResponseOf<typeof produce>;
type TopicResponse = Response['responses'][number];
type PartitionResponse = TopicResponse['partitionResponses'][number];
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const oldestServedVersion = 3;
const firstVersionWithTopicIds = 13;
const knownAcks: ReadonlySet<number> = new Set([-1, 0, 1]);
const noRecordErrors: PartitionResponse['recordErrors'] = [];
/**
 * Producers that push send what was refused again at once. Kept waiting, with what it holds of the memory for requests, that costs
 * little; answered at once it takes all the processor there is, from the keepalives of the session too.
 */
const refusalHoldMs = 500;
/** A compressed batch that has to be looked into may take this many times the largest message. */
const maxExpansion = 64;

export const produceHandler = defineHandler({
  api: produce,
  concurrent: true,

  fail(errorCode, request) {
    if (request.acks === 0) throw new CloseConnection('a request without acknowledgement failed');
    return respond(
      request.topicData.map(({ name, topicId, partitionData }) => ({
        name,
        topicId,
        partitionResponses: partitionData.map(({ index }) => refusal(index, errorCode, null)),
      })),
    );
  },

  handle(request, context, services) {
    const { apiVersion } = context;
    if (apiVersion < oldestServedVersion) throw new CloseConnection(`Produce version ${apiVersion} is not served`);
    if (!knownAcks.has(request.acks)) throw new KafkaError(ErrorCode.INVALID_REQUIRED_ACKS);
    return new Promise<Response | typeof noResponse>((resolve, reject) => {
      const append = new ProduceAppend(request, context, services, reject, (responses) => {
        const { clock, produceThrottle } = services;
        const { delayMs } = produceThrottle;
        const holdMs = append.storeRefused ? Math.max(delayMs, refusalHoldMs) : delayMs;
        const answer = () => {
          if (request.acks !== 0) resolve({ ...respond(responses, append.nodeEndpoints), throttleTimeMs: delayMs });
          else if (append.failed) reject(new CloseConnection('a request without acknowledgement failed'));
          else resolve(noResponse);
        };
        // Both the client's pause and the wait here: old clients know nothing of the former.
        if (holdMs > 0) clock.schedule(holdMs, answer);
        else answer();
      });
      append.run();
    });
  },
});

const respond = (responses: readonly TopicResponse[], nodeEndpoints: Response['nodeEndpoints'] = []): Response => ({
  responses,
  throttleTimeMs: 0,
  nodeEndpoints,
});

/** One request on its way: its answer is complete when every batch has its outcome. */
class ProduceAppend {
  readonly nodeEndpoints: Response['nodeEndpoints'][number][] = [];
  failed = false;
  /** A batch was refused because the store takes none at the moment. */
  storeRefused = false;
  readonly #request: Request;
  readonly #context: RequestContext;
  readonly #services: Services;
  readonly #reject: (error: unknown) => void;
  readonly #done: (responses: readonly TopicResponse[]) => void;
  readonly #responses: TopicResponse[] = [];
  /** Batches without outcome, and one for the loop that makes them. */
  #open = 1;
  /** Of these, those whose bytes are needed. */
  #needed = 1;

  constructor(
    request: Request,
    context: RequestContext,
    services: Services,
    reject: (error: unknown) => void,
    done: (responses: readonly TopicResponse[]) => void,
  ) {
    this.#request = request;
    this.#context = context;
    this.#services = services;
    this.#reject = reject;
    this.#done = done;
  }

  /** Appends in one synchronous step, so that pipelined requests keep their order. */
  run(): void {
    const usesTopicIds = this.#context.apiVersion >= firstVersionWithTopicIds;
    const { image } = this.#services;
    for (const { name, topicId, partitionData } of this.#request.topicData) {
      const topic = usesTopicIds ? image.topicById(topicId) : image.topic(name);
      const partitionResponses: Mutable<PartitionResponse>[] = [];
      this.#responses.push({ name, topicId, partitionResponses });
      for (const { index, records } of partitionData) {
        const response = pendingResponse(index);
        partitionResponses.push(response);
        if (topic === undefined && usesTopicIds) this.#refuse(response, ErrorCode.UNKNOWN_TOPIC_ID, null);
        else this.#appendPartition(topic, records, response);
      }
    }
    this.#needOneLess();
    this.#settleOne();
  }

  #appendPartition(topic: TopicImage | undefined, records: Buffer | null, response: Mutable<PartitionResponse>): void {
    const found = findPartition(this.#services, topic, response.index);
    if (found.error === ErrorCode.NOT_LEADER_OR_FOLLOWER) {
      const { topicId } = topic!;
      this.#look(topicId, response, (log) => this.#appendTo(log, topic!, records, response));
    } else if (found.error !== undefined) this.#refuse(response, found.error, null);
    else this.#appendTo(found.log, topic!, records, response);
  }

  #appendTo(log: PartitionLog, topic: TopicImage, records: Buffer | null, response: Mutable<PartitionResponse>): void {
    const nowMs = this.#services.clock.wallMs();
    const rules = rulesOf(topic.config);
    const verdict = validateProducedBatch(records, rules, { apiVersion: this.#context.apiVersion, nowMs });
    if (verdict.errorCode !== ErrorCode.NONE) {
      this.#refuse(response, verdict.errorCode, verdict.errorMessage);
      response.recordErrors = verdict.recordErrors;
      return;
    }
    const { batch } = verdict;
    if (batch.isTransactional) {
      this.#refuse(response, ErrorCode.INVALID_TXN_STATE, 'transactions are not served');
      return;
    }
    const usesAppendTime = rules.timestampType === 'LogAppendTime';
    batch.setMaxTimestamp(rules.timestampType, usesAppendTime ? nowMs : verdict.maxTimestamp);
    if (usesAppendTime) response.logAppendTimeMs = BigInt(nowMs);
    this.#append(log, batch, response, (next) => this.#append(next, batch, response));
  }

  /** `again` appends to a later log of the partition, when this one takes no more; without it the client is told. */
  #append(
    log: PartitionLog,
    batch: RecordBatchView,
    response: Mutable<PartitionResponse>,
    again?: (log: PartitionLog) => void,
  ): void {
    const { recordCount, baseSequence } = batch;
    let isCopied = false;
    this.#open += 1;
    this.#needed += 1;
    this.#services.appender.append(
      log,
      {
        bytes: batch.bytes,
        recordCount,
        maxTimestamp: batch.maxTimestamp,
        producerId: batch.hasProducerId ? batch.producerId : -1n,
        producerEpoch: batch.producerEpoch,
        firstSequence: baseSequence,
        lastSequence: lastSequence(baseSequence, recordCount),
        onCopied: () => {
          isCopied = true;
          this.#needOneLess();
        },
      },
      (outcome) => {
        this.#settled(log, outcome, response, isCopied ? undefined : again);
        if (!isCopied) this.#needOneLess();
      },
    );
  }

  #settled(
    log: PartitionLog,
    outcome: AppendOutcome,
    response: Mutable<PartitionResponse>,
    again: ((log: PartitionLog) => void) | undefined,
  ): void {
    if (outcome.committed) {
      response.baseOffset = outcome.baseOffset;
      response.logStartOffset = log.logStartOffset;
    } else if (outcome.error.code === ErrorCode.NOT_LEADER_OR_FOLLOWER) this.#look(log.topicId, response, again);
    else {
      if (outcome.error.code === ErrorCode.NOT_ENOUGH_REPLICAS) this.storeRefused = true;
      this.#refuse(response, outcome.error.code, outcome.error.message);
    }
    this.#settleOne();
  }

  /**
   * Goes on with the partition's log once it is open here; or the client hears who the leader is by then. Requests that wait for one
   * partition go on in their order, before any that comes later.
   */
  #look(topicId: string, response: Mutable<PartitionResponse>, found?: (log: PartitionLog) => void): void {
    this.#open += 1;
    this.#needed += 1;
    this.#services.finder.seek(topicId, response.index, (whereabouts) => {
      try {
        this.#lookedUp(topicId, response, whereabouts, found);
      } catch (error) {
        this.#reject(error); // whoever opened the log must not hear of it
        return;
      }
      this.#needOneLess();
      this.#settleOne();
    });
  }

  #lookedUp(
    topicId: string,
    response: Mutable<PartitionResponse>,
    whereabouts: Whereabouts,
    found: ((log: PartitionLog) => void) | undefined,
  ): void {
    const { logs, image } = this.#services;
    const log = whereabouts === 'here' ? logs.get(topicId, response.index) : undefined;
    if (log !== undefined && found !== undefined) found(log);
    else if (image.topicById(topicId) === undefined) this.#refuse(response, this.#unknownTopic, null);
    else {
      this.#refuse(response, ErrorCode.NOT_LEADER_OR_FOLLOWER, null);
      this.#hintLeader(response, whereabouts === 'here' ? image.partition(topicId, response.index) : whereabouts);
    }
  }

  get #unknownTopic(): ErrorCode {
    const usesTopicIds = this.#context.apiVersion >= firstVersionWithTopicIds;
    return usesTopicIds ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
  }

  /** The memory that the request came in serves others from here on, however long its answer takes. */
  #needOneLess(): void {
    this.#needed -= 1;
    if (this.#needed === 0) this.#context.releaseRequest();
  }

  #settleOne(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#done(this.#responses);
  }

  #refuse(response: Mutable<PartitionResponse>, errorCode: ErrorCode, errorMessage: string | null): void {
    this.failed = true;
    response.errorCode = errorCode;
    response.errorMessage = errorMessage;
    response.logAppendTimeMs = -1n;
  }

  #hintLeader(response: Mutable<PartitionResponse>, leader: PartitionImage | undefined): void {
    const hint = leaderHint(this.#services.image, leader);
    if (hint === undefined) return;
    response.currentLeader = hint.currentLeader;
    const { endpoint } = hint;
    if (!this.nodeEndpoints.some(({ nodeId }) => nodeId === endpoint.nodeId)) this.nodeEndpoints.push(endpoint);
  }
}

const pendingResponse = (index: number): Mutable<PartitionResponse> => ({
  index,
  errorCode: ErrorCode.NONE,
  baseOffset: -1,
  logAppendTimeMs: -1n,
  logStartOffset: -1,
  recordErrors: noRecordErrors,
  errorMessage: null,
  currentLeader: noLeader,
});

const refusal = (index: number, errorCode: ErrorCode, errorMessage: string | null): PartitionResponse => ({
  ...pendingResponse(index),
  errorCode,
  errorMessage,
});

const rulesByConfig = new WeakMap<TopicConfig, BatchRules>();

/** The settings of a topic as its batches are judged by; made once for each state of the topic. */
function rulesOf(config: TopicConfig): BatchRules {
  let rules = rulesByConfig.get(config);
  if (rules === undefined) {
    rules = {
      maxMessageBytes: config.maxMessageBytes,
      timestampType: config.messageTimestampType,
      timestampBeforeMaxMs: config.messageTimestampBeforeMaxMs,
      timestampAfterMaxMs: config.messageTimestampAfterMaxMs,
      compacted: config.cleanupPolicy.compact,
      maxDecompressedBytes: config.maxMessageBytes * maxExpansion,
    };
    rulesByConfig.set(config, rules);
  }
  return rules;
}
