/**
 * DescribeConfigs v0-4: the settings of topics and of this broker, with where each value comes from. Brokers have no default settings
 * in common, no loggers whose level can be set, and there are no settings of groups or client metrics: those are answered empty.
 */
import { describeConfigs, ErrorCode, KafkaError, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { checkTopicName } from '../cluster/topic-rules.ts';
import { ConfigSource, describeTopicConfigs, type DescribedConfig } from '../config/described-config.ts';
import { checkBrokerName, ConfigResourceType, unknownResourceType } from './config-resource.ts';
import { defineHandler } from './define-handler.ts';
import type { Services } from './services.ts';

type DescribeConfigsRequest = RequestOf<typeof describeConfigs>;
type Resource = DescribeConfigsRequest['resources'][number];
type Result = ResponseOf<typeof describeConfigs>['results'][number];

export const describeConfigsHandler = defineHandler({
  api: describeConfigs,
  fail: (code, { resources }) => answer(resources.map((resource) => failed(resource, new KafkaError(code)))),
  handle(request, _context, services) {
    return answer(request.resources.map((resource) => result(resource, request, services)));
  },
});

const answer = (results: Result[]) => ({ throttleTimeMs: 0, results });

function result(resource: Resource, request: DescribeConfigsRequest, services: Services): Result {
  const { resourceType, resourceName } = resource;
  let described: DescribedConfig[];
  try {
    described = describe(resource, services);
  } catch (error) {
    if (error instanceof KafkaError) return failed(resource, error);
    throw error;
  }
  const wanted = wantedNames(resource);
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    resourceType,
    resourceName,
    configs: described
      .filter(({ name }) => wanted === undefined || wanted.has(name))
      .map((config) => entry(config, request)),
  };
}

function describe({ resourceType, resourceName }: Resource, { image, brokerConfigs }: Services): DescribedConfig[] {
  switch (resourceType) {
    case ConfigResourceType.TOPIC: {
      checkTopicName(resourceName);
      const topic = image.topic(resourceName);
      if (topic === undefined) throw new KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      return describeTopicConfigs(topic.configs);
    }
    case ConfigResourceType.BROKER:
      checkBrokerName(resourceName, brokerConfigs, { emptyAllowed: true });
      return resourceName === '' ? [] : brokerConfigs.describe();
    case ConfigResourceType.BROKER_LOGGER:
      checkBrokerName(resourceName, brokerConfigs, { emptyAllowed: false });
      return [];
    case ConfigResourceType.CLIENT_METRICS:
    case ConfigResourceType.GROUP:
      if (resourceName === '') throw new KafkaError(ErrorCode.INVALID_REQUEST, 'The name must not be empty');
      return [];
    default:
      throw unknownResourceType(resourceType);
  }
}

/** Undefined for all; so is an empty list, as in Kafka. */
function wantedNames({ configurationKeys }: Resource): ReadonlySet<string> | undefined {
  return configurationKeys === null || configurationKeys.length === 0 ? undefined : new Set(configurationKeys);
}

function entry(
  { name, value, readOnly, source, type, documentation, synonyms }: DescribedConfig,
  { includeSynonyms, includeDocumentation }: DescribeConfigsRequest,
): Result['configs'][number] {
  return {
    name,
    value,
    readOnly,
    isDefault: source === ConfigSource.DEFAULT,
    configSource: source,
    isSensitive: false,
    synonyms: includeSynonyms ? [...synonyms] : [],
    configType: type,
    documentation: includeDocumentation ? documentation : null,
  };
}

const failed = ({ resourceType, resourceName }: Resource, { code, message }: KafkaError): Result => ({
  errorCode: code,
  errorMessage: message,
  resourceType,
  resourceName,
  configs: [],
});
