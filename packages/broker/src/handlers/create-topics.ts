/**
 * CreateTopics v0-7. Any replication factor is accepted and reported; assignments are checked and not acted on, because brokers take
 * partitions by themselves. Since v5 the settings the topic has are answered. A topic counts as created once it is stored; the answer
 * also waits, up to the timeout, until its partitions have leaders.
 */
import { createTopics, ErrorCode, KafkaError, zeroUuid, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { describeTopicConfigs } from '../config/described-config.ts';
import type { TopicImage } from '../metadata/metadata-image.ts';
import { defineHandler } from './define-handler.ts';
import { duplicates } from './outcome.ts';

type TopicResult = ResponseOf<typeof createTopics>['topics'][number];
type NewTopic = RequestOf<typeof createTopics>['topics'][number];

export const createTopicsHandler = defineHandler({
  api: createTopics,
  fail: (code, { topics }) => answer(topics.map(({ name }) => failed(name, new KafkaError(code)))),
  async handle({ topics: asked, timeoutMs, validateOnly }, { signal }, { topics }) {
    const repeated = duplicates(asked.map(({ name }) => name));
    const create = async (topic: NewTopic): Promise<TopicResult> => {
      try {
        return created(await topics.create(topic, { timeoutMs, validateOnly, signal }));
      } catch (error) {
        if (error instanceof KafkaError) return failed(topic.name, error);
        throw error;
      }
    };
    const results = await Promise.all(asked.filter(({ name }) => !repeated.has(name)).map(create));
    const duplicate = new KafkaError(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.');
    return answer([...results, ...Array.from(repeated, (name) => failed(name, duplicate))]);
  },
});

const answer = (topics: TopicResult[]) => ({ throttleTimeMs: 0, topics });

const created = ({ name, topicId, partitionCount, replicationFactor, configs }: TopicImage): TopicResult => ({
  name,
  topicId,
  errorCode: ErrorCode.NONE,
  errorMessage: null,
  topicConfigErrorCode: ErrorCode.NONE,
  numPartitions: partitionCount,
  replicationFactor,
  configs: describeTopicConfigs(configs).map(({ name: config, value, readOnly, source }) => ({
    name: config,
    value,
    readOnly,
    configSource: source,
    isSensitive: false,
  })),
});

const failed = (name: string, { code, message }: KafkaError): TopicResult => ({
  name,
  topicId: zeroUuid,
  errorCode: code,
  errorMessage: message,
  topicConfigErrorCode: ErrorCode.NONE,
  numPartitions: -1,
  replicationFactor: -1,
  configs: [],
});
