/**
 * Fetch v4-18: record batches as they are stored, with long polls (KIP-74), sessions (KIP-227), leader epochs and divergence
 * (KIP-320, KIP-595), topic ids (KIP-516) and the new leader beside an error (KIP-951). No transactions are served yet, so the last
 * stable offset is the high watermark and nothing was aborted. Consumers of other racks are sent to brokers that only read (KIP-392),
 * which answer from logs that they follow. Not implemented: fetches of followers, which are refused. Logs are kept by topic id, so a
 * wrong pair of name and id cannot arise: an id that is not known is UNKNOWN_TOPIC_ID.
 */
import { ErrorCode, fetch, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { PartitionLog } from '../log/partition-log.ts';
import {
  fetchRecords,
  leaderEpochError,
  releaseAll,
  type FetchedPartition,
  type FetchLimits,
  type FetchTarget,
  type ReadPartition,
} from '../log/read/fetch-records.ts';
import { LogSlices } from '../log/read/log-slices.ts';
import { defineHandler, type RequestContext } from './define-handler.ts';
import type { FetchNews, FetchPartition, PartitionName, SessionRequest } from './fetch-sessions.ts';
import { findFollowed } from './find-followed.ts';
import { findPartition, findPartitionSoon, type FoundPartition, type MissingPartition } from './find-partition.ts';
import { leaderHint, noLeader } from './leader-hint.ts';
import type { Services } from './services.ts';

type FetchRequest = RequestOf<typeof fetch>;
type FetchResponse = ResponseOf<typeof fetch>;
type TopicResponse = FetchResponse['responses'][number];
type PartitionResponse = TopicResponse['partitions'][number];
type NodeEndpoint = FetchResponse['nodeEndpoints'][number];

/** What is wrong with a partition; with its log if that is open here. */
interface RefusedPartition extends Omit<MissingPartition, 'log'> {
  readonly log?: PartitionLog | undefined;
}

/** With `preferredReadReplica` and no records, for a consumer that is to read from that broker. */
interface AnsweredPartition extends ReadPartition {
  readonly preferredReadReplica?: number;
}

type FetchResult = AnsweredPartition | RefusedPartition;

interface TopicPartitions extends TopicResponse {
  readonly partitions: PartitionResponse[];
}

/** What clients are given while others do not take what they were given before. */
const shortAnswerBytes = 64 * 1_024;
const readCommitted = 1;
const unknownOffset = -1;
const firstVersionWithTopicIds = 13;
const firstVersionWithReplicaState = 15;
const firstVersionWithEndpoints = 16;
/** Clients of later versions know KAFKA_STORAGE_ERROR; to earlier ones it would be an unexpected error. */
const lastVersionWithoutStorageError = 5;
/** For a partition that is on its way, while the client waits for others that are here. */
const waitBesideOthersMs = 100;
const noEpoch = { epoch: -1, endOffset: -1 };

const sessionErrors: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
  ErrorCode.INVALID_FETCH_SESSION_EPOCH,
  ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
]);

export const fetchHandler = defineHandler({
  api: fetch,
  concurrent: false,

  fail(errorCode, request, { apiVersion }) {
    if (sessionErrors.has(errorCode)) return response(errorCode, 0, []);
    // Versions before 7 have no error of their own, those before 13 are told for each partition besides.
    const topics = apiVersion < firstVersionWithTopicIds ? request.topics : [];
    const failed = topics.map(({ topic, topicId, partitions }) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition }) => failedPartition(partition, errorCode)),
    }));
    return response(errorCode, request.sessionId, failed);
  },

  async handle(request, context, services) {
    const { apiVersion, signal } = context;
    const session = services.fetchSessions.begin(sessionRequest(request, apiVersion));
    const { partitions } = session;
    const isFollower = replicaIdOf(request, apiVersion) >= 0;
    const sought = isFollower
      ? partitions.map((): FoundPartition => ({ error: ErrorCode.TOPIC_AUTHORIZATION_FAILED }))
      : await seekAll(partitions, request, context, services);
    const sentAway = sendAway(sought, partitions, request, context, services);

    const targets: FetchTarget[] = [];
    for (const [index, { log }] of sought.entries()) {
      if (log !== undefined && !sentAway.has(log))
        targets.push({ log, ...partitions[index]!, maxBytes: partitions[index]!.partitionMaxBytes });
    }
    const limits = fetchLimits(request, sought, sentAway.size > 0, services);
    const fetched = await fetchRecords(targets, limits, services, signal);
    context.afterResponse(() => releaseAll(fetched));
    services.metrics.fetchedBytes.inc(recordBytesOf(fetched));
    const left = await findLeft(targets, fetched, services);

    let next = 0;
    const results = sought.map((found): FetchResult => {
      if (found.log === undefined) return found;
      const answered = sentAway.get(found.log);
      if (answered !== undefined) return answered;
      const result = fetched[next++]!;
      return left.get(found.log) ?? (result.error === undefined ? result : { ...result, log: found.log });
    });
    const { sessionId, isIncluded } = session.answer(results.map(newsOf));
    const topics = new Map<string, TopicPartitions>();
    const endpoints = new Map<number, NodeEndpoint>();
    for (const [index, partition] of partitions.entries()) {
      if (!isIncluded[index]) continue;
      const result = results[index]!;
      if (result.error === undefined) {
        services.metrics.sawConsumerLag(Math.max(0, result.highWatermark - partition.fetchOffset));
      }
      partitionsOf(topics, partition, apiVersion).push(
        result.error === undefined
          ? readPartition(partition.partition, result, request.isolationLevel === readCommitted)
          : refusedPartition(partition, result, apiVersion, services, endpoints),
      );
    }
    return response(ErrorCode.NONE, sessionId, [...topics.values()], [...endpoints.values()]);
  },
});

/** Of all partitions together. */
function recordBytesOf(fetched: readonly FetchedPartition[]): number {
  let bytes = 0;
  for (const partition of fetched) if (partition.error === undefined) bytes += partition.slices.bytes;
  return bytes;
}

const response = (
  errorCode: ErrorCode,
  sessionId: number,
  responses: readonly TopicResponse[],
  nodeEndpoints: readonly NodeEndpoint[] = [],
): FetchResponse => ({ throttleTimeMs: 0, errorCode, sessionId, responses, nodeEndpoints });

function replicaIdOf({ replicaId, replicaState }: FetchRequest, apiVersion: number): number {
  return apiVersion < firstVersionWithReplicaState ? replicaId : replicaState.replicaId;
}

function sessionRequest(request: FetchRequest, apiVersion: number): SessionRequest {
  const usesTopicIds = apiVersion >= firstVersionWithTopicIds;
  const partitions = new Map<string, FetchPartition>();
  for (const { topic, topicId, partitions: wanted } of request.topics) {
    for (const partition of wanted) {
      const name = `${usesTopicIds ? topicId : topic}/${partition.partition}`;
      partitions.set(name, { topic, topicId, ...partition });
    }
  }
  const forgotten: PartitionName[] = request.forgottenTopicsData.flatMap(({ topic, topicId, partitions: indexes }) =>
    indexes.map((partition) => ({ topic, topicId, partition })),
  );
  const { sessionId, sessionEpoch } = request;
  return { sessionId, sessionEpoch, usesTopicIds, partitions: [...partitions.values()], forgotten };
}

/** Partitions that are about to be opened here are waited for, but not for long while there are others to read. */
async function seekAll(
  partitions: readonly FetchPartition[],
  { maxWaitMs }: FetchRequest,
  { apiVersion, signal }: RequestContext,
  services: Services,
): Promise<readonly FoundPartition[]> {
  const usesTopicIds = apiVersion >= firstVersionWithTopicIds;
  const topics = partitions.map(({ topic, topicId }) =>
    usesTopicIds ? services.image.topicById(topicId) : services.image.topic(topic),
  );
  const sought = partitions.map(({ partition }, index): FoundPartition => {
    const topic = topics[index];
    if (topic === undefined && usesTopicIds) return { error: ErrorCode.UNKNOWN_TOPIC_ID };
    return findPartition(services, topic, partition);
  });
  const { followed } = services;
  if (followed !== undefined) {
    return Promise.all(
      sought.map(async (found, index) => {
        if (!isElsewhere(found)) return found;
        const { partition, fetchOffset } = partitions[index]!;
        return findFollowed(services, topics[index], partition, { followed, fetchOffset, maxWaitMs, signal });
      }),
    );
  }
  if (!sought.some(isElsewhere)) return sought;
  const waitMs = sought.some(({ log }) => log !== undefined) ? waitBesideOthersMs : undefined;
  return Promise.all(
    sought.map(async (found, index) => {
      if (!isElsewhere(found)) return found;
      return findPartitionSoon(services, topics[index], partitions[index]!.partition, waitMs);
    }),
  );
}

/** Partitions that the consumer is to read from a broker nearer to it: as in Kafka only where the leader could answer. */
function sendAway(
  sought: readonly FoundPartition[],
  partitions: readonly FetchPartition[],
  { rackId }: FetchRequest,
  { connectionId }: RequestContext,
  { image, readReplicas, config, followed, ownershipProof }: Services,
): ReadonlyMap<PartitionLog, AnsweredPartition> {
  const sentAway = new Map<PartitionLog, AnsweredPartition>();
  if (rackId === '' || followed !== undefined) return sentAway;
  for (const [index, { log }] of sought.entries()) {
    const { fetchOffset, currentLeaderEpoch } = partitions[index]!;
    if (log === undefined || leaderEpochError(log, currentLeaderEpoch, ownershipProof) !== undefined) continue;
    const consumer = { rackId, connectionId, fetchOffset };
    const preferredReadReplica = readReplicas.preferred(image, log, consumer, config.rack);
    if (preferredReadReplica === undefined) continue;
    const { highWatermark, lastStableOffset, logStartOffset } = log;
    const offsets = { highWatermark, lastStableOffset, logStartOffset };
    sentAway.set(log, { ...offsets, slices: new LogSlices(fetchOffset), preferredReadReplica });
  }
  return sentAway;
}

const isElsewhere = ({ error }: { readonly error?: ErrorCode | undefined }) =>
  error === ErrorCode.NOT_LEADER_OR_FOLLOWER;

/** Where the partitions are that were given up while the fetch waited or read: the client goes straight on to there. */
async function findLeft(
  targets: readonly FetchTarget[],
  fetched: readonly FetchedPartition[],
  services: Services,
): Promise<ReadonlyMap<PartitionLog, MissingPartition>> {
  const left = targets.filter((_, index) => isElsewhere(fetched[index]!));
  const waitMs = left.length < targets.length ? waitBesideOthersMs : undefined;
  const found = await Promise.all(
    left.map(async ({ log: { topicId, partition } }): Promise<MissingPartition> => {
      const whereabouts = await services.finder.find(topicId, partition, waitMs);
      if (services.image.topicById(topicId) === undefined) return { error: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION };
      const leader = whereabouts === 'here' ? services.image.partition(topicId, partition) : whereabouts;
      return { error: ErrorCode.NOT_LEADER_OR_FOLLOWER, leader };
    }),
  );
  return new Map(left.map(({ log }, index) => [log, found[index]!]));
}

/** As in Kafka a partition that moved away is told at once, but one that does not exist does not keep the others from waiting. */
function fetchLimits(
  request: FetchRequest,
  sought: readonly FoundPartition[],
  isSentAway: boolean,
  { config, answersAreMany }: Services,
): FetchLimits {
  const mostBytes =
    answersAreMany?.() === true ? Math.min(config.fetchMaxBytes, shortAnswerBytes) : config.fetchMaxBytes;
  const maxBytes = Math.min(Math.max(0, request.maxBytes), mostBytes);
  const mayWait = !isSentAway && !sought.some(({ error }) => error === ErrorCode.NOT_LEADER_OR_FOLLOWER);
  return { maxBytes, minBytes: Math.min(request.minBytes, maxBytes), maxWaitMs: mayWait ? request.maxWaitMs : 0 };
}

function partitionsOf(
  topics: Map<string, TopicPartitions>,
  { topic, topicId }: FetchPartition,
  apiVersion: number,
): PartitionResponse[] {
  const name = apiVersion < firstVersionWithTopicIds ? topic : topicId;
  let known = topics.get(name);
  if (known === undefined) {
    known = { topic, topicId, partitions: [] };
    topics.set(name, known);
  }
  return known.partitions;
}

function newsOf(result: FetchResult): FetchNews {
  if (result.error !== undefined) {
    const none = { recordBytes: 0, highWatermark: unknownOffset, logStartOffset: unknownOffset };
    return { ...none, isError: true, isDiverging: false, isSentAway: false };
  }
  const { slices, highWatermark, logStartOffset } = result;
  const isDiverging = result.divergingEpoch !== undefined;
  const isSentAway = result.preferredReadReplica !== undefined;
  return { recordBytes: slices.bytes, highWatermark, logStartOffset, isError: false, isDiverging, isSentAway };
}

function readPartition(partitionIndex: number, read: AnsweredPartition, isReadCommitted: boolean): PartitionResponse {
  const { slices, highWatermark, lastStableOffset, logStartOffset, divergingEpoch, preferredReadReplica = -1 } = read;
  return {
    partitionIndex,
    errorCode: ErrorCode.NONE,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    divergingEpoch:
      divergingEpoch === undefined
        ? noEpoch
        : { epoch: divergingEpoch.leaderEpoch, endOffset: divergingEpoch.endOffset },
    currentLeader: noLeader,
    snapshotId: noEpoch,
    abortedTransactions: isReadCommitted ? [] : null,
    preferredReadReplica,
    records: slices.chunks,
  };
}

function failedPartition(partitionIndex: number, errorCode: ErrorCode): PartitionResponse {
  return {
    partitionIndex,
    errorCode,
    highWatermark: unknownOffset,
    lastStableOffset: unknownOffset,
    logStartOffset: unknownOffset,
    divergingEpoch: noEpoch,
    currentLeader: noLeader,
    snapshotId: noEpoch,
    abortedTransactions: [],
    preferredReadReplica: -1,
    records: [],
  };
}

/** With an error that sends the client to another broker comes where that is, as far as known (KIP-951). */
function refusedPartition(
  { partition }: FetchPartition,
  { error, log, leader }: RefusedPartition,
  apiVersion: number,
  { image }: Services,
  endpoints: Map<number, NodeEndpoint>,
): PartitionResponse {
  if (error === ErrorCode.KAFKA_STORAGE_ERROR && apiVersion <= lastVersionWithoutStorageError) {
    return failedPartition(partition, ErrorCode.NOT_LEADER_OR_FOLLOWER);
  }
  const failed = failedPartition(partition, error);
  const isOfLeader = error === ErrorCode.NOT_LEADER_OR_FOLLOWER || error === ErrorCode.FENCED_LEADER_EPOCH;
  if (!isOfLeader || apiVersion < firstVersionWithEndpoints) return failed;
  const hint = leaderHint(image, leader ?? (log && image.partition(log.topicId, log.partition)));
  if (hint === undefined) return failed;
  endpoints.set(hint.endpoint.nodeId, hint.endpoint);
  const { leaderId, leaderEpoch } = hint.currentLeader;
  return { ...failed, currentLeader: { leaderId, leaderEpoch: log?.leaderEpoch ?? leaderEpoch } };
}
