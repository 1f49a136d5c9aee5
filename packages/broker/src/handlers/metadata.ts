/**
 * Metadata v0-13: the brokers, and topics with the leaders of their partitions. A topic that is not there is created when broker and
 * client allow it; the answer waits a moment for it to be ready. Asking by id (v12) never creates. Only living brokers lead. Any broker
 * takes the admin requests that old clients send to the controller.
 */
import { ErrorCode, KafkaError, metadataApi, zeroUuid, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { brokerDefault, isInternalTopic, topicNameFault } from '../cluster/topic-rules.ts';
import { imageShows } from '../metadata/image-shows.ts';
import type { ClusterImage, TopicImage } from '../metadata/metadata-image.ts';
import { clusterOperations, operationsNotAsked, topicOperations } from './authorized-operations.ts';
import { defineHandler } from './define-handler.ts';
import { controllerId, Leaderships } from './leadership.ts';
import type { Services } from './services.ts';

type MetadataRequest = RequestOf<typeof metadataApi>;
type MetadataResponse = ResponseOf<typeof metadataApi>;
type TopicEntry = MetadataResponse['topics'][number];

/** How long an answer waits for topics that it creates; then the client is left to ask again. */
const creationWaitMs = 1_000;
/** Topics that one request creates; the others wait for the client's next one. */
const maxCreations = 100;

export const metadataHandler = defineHandler({
  api: metadataApi,
  fail(errorCode, { topics }) {
    const entries = (topics ?? []).map(({ name, topicId }) => failed(errorCode, name ?? '', topicId));
    return { ...emptyAnswer, topics: entries, errorCode };
  },
  async handle(request, { apiVersion, signal }, services) {
    checkAskedByName(request, apiVersion);
    const { image, brokerConfigs } = services;
    const topics = await findTopics(request, apiVersion, services, signal);
    return {
      ...emptyAnswer,
      brokers: image.brokers().map(({ brokerId, host, port, rack }) => ({
        nodeId: brokerId,
        host,
        port,
        rack: rack === '' ? null : rack,
      })),
      clusterId: image.clusterId,
      controllerId: controllerId(image, brokerConfigs.brokerId),
      topics,
      clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? clusterOperations : operationsNotAsked,
    };
  },
});

const emptyAnswer: MetadataResponse = {
  throttleTimeMs: 0,
  brokers: [],
  clusterId: null,
  controllerId: -1,
  topics: [],
  clusterAuthorizedOperations: operationsNotAsked,
  errorCode: ErrorCode.NONE,
};

/** Versions 10 and 11 have the fields of ids, but may not ask by them. */
function checkAskedByName({ topics }: MetadataRequest, apiVersion: number): void {
  if (apiVersion >= 12 || topics === null) return;
  if (topics.some(({ name, topicId }) => name === null || topicId !== zeroUuid)) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST);
  }
}

async function findTopics(
  request: MetadataRequest,
  apiVersion: number,
  services: Services,
  signal: AbortSignal,
): Promise<TopicEntry[]> {
  const { image } = services;
  const asked = request.topics;
  const operations = request.includeTopicAuthorizedOperations ? topicOperations : operationsNotAsked;
  if (asked === null || (apiVersion === 0 && asked.length === 0)) {
    const leaderships = new Leaderships(services.image);
    return Array.from(image.topics(), (topic) => describe(topic, leaderships, operations));
  }

  const ids = new Set(asked.map(({ topicId }) => topicId).filter((topicId) => topicId !== zeroUuid));
  if (ids.size > 0) {
    const leaderships = new Leaderships(services.image);
    return Array.from(ids, (topicId) => {
      const topic = image.topicById(topicId);
      if (topic === undefined) return failed(ErrorCode.UNKNOWN_TOPIC_ID, null, topicId);
      return describe(topic, leaderships, operations);
    });
  }

  const names = [...new Set(asked.map(({ name }) => name).filter((name) => name !== null))];
  const refused = await createMissing(names, request, services, signal);
  const leaderships = new Leaderships(services.image);
  return names.map((name) => {
    const topic = image.topic(name);
    if (topic !== undefined) return describe(topic, leaderships, operations);
    return { ...failed(refused.get(name) ?? faultOf(name), name), topicAuthorizedOperations: operations };
  });
}

/** Creates the topics that may be created, and waits a moment for them. Returns why a name can never be one. */
async function createMissing(
  names: readonly string[],
  { allowAutoTopicCreation }: MetadataRequest,
  { topics, config, image, clock }: Services,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, ErrorCode>> {
  const refused = new Map<string, ErrorCode>();
  if (!config.autoCreateTopics || !allowAutoTopicCreation) return refused;
  const missing = names.filter(
    (name) => image.topic(name) === undefined && topicNameFault(name) === undefined && !isInternalTopic(name),
  );
  await Promise.all(
    missing.slice(0, maxCreations).map(async (name) => {
      const byDefault = {
        numPartitions: brokerDefault,
        replicationFactor: brokerDefault,
        assignments: [],
        configs: [],
      };
      try {
        await topics.create({ name, ...byDefault }, { timeoutMs: creationWaitMs, signal });
      } catch (error) {
        if (!(error instanceof KafkaError)) throw error;
        if (error.code === ErrorCode.INVALID_TOPIC_EXCEPTION) refused.set(name, error.code);
        // Another broker created it, and the image is about to show it; unless it is on its way out.
        const isOver = () => image.topic(name) !== undefined || isDeleting(name, image);
        if (error.code === ErrorCode.TOPIC_ALREADY_EXISTS) {
          await imageShows(image, isOver, { clock, timeoutMs: creationWaitMs, signal });
        }
        // Anything else is seen by the client's next request: the store is away for a moment.
      }
    }),
  );
  return refused;
}

const isDeleting = (name: string, image: ClusterImage) =>
  [...image.deletingTopics()].some((topic) => topic.name === name);

function describe(topic: TopicImage, leaderships: Leaderships, operations: number): TopicEntry {
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: isInternalTopic(topic.name),
    partitions: Array.from({ length: topic.partitionCount }, (_, partition) => leaderships.of(topic, partition)),
    topicAuthorizedOperations: operations,
  };
}

const faultOf = (name: string): ErrorCode =>
  topicNameFault(name) === undefined ? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION : ErrorCode.INVALID_TOPIC_EXCEPTION;

const failed = (errorCode: ErrorCode, name: string | null, topicId: string = zeroUuid): TopicEntry => ({
  errorCode,
  name,
  topicId,
  isInternal: name !== null && isInternalTopic(name),
  partitions: [],
  topicAuthorizedOperations: operationsNotAsked,
});
