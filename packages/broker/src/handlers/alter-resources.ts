/**
 * What AlterConfigs and IncrementalAlterConfigs share: which resources may be changed, and in which order faults are found. Only
 * topics have settings that can be changed while the broker runs.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import { checkTopicName } from '../cluster/topic-rules.ts';
import type { ConfigChange } from '../cluster/topics.ts';
import { checkBrokerName, ConfigResourceType, resourceKey, unknownResourceType } from './config-resource.ts';
import { duplicates, failure, outcomeOf, type Outcome } from './outcome.ts';
import type { Services } from './services.ts';

interface AlteredConfig {
  readonly name: string;
  readonly value: string | null;
}

interface AlteredResource<Config> {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly configs: readonly Config[];
}

export interface Alteration<Config> {
  readonly resources: readonly AlteredResource<Config>[];
  readonly validateOnly: boolean;
  /** Whether an entry without a value is a fault. */
  readonly valueNeeded: (config: Config) => boolean;
  /** The topic's settings as the entries leave them. Throws KafkaError. */
  readonly change: (entries: readonly Config[], current: ReadonlyMap<string, string>) => ReadonlyMap<string, string>;
}

export interface ResourceResult extends Outcome {
  readonly resourceType: number;
  readonly resourceName: string;
}

/** How long an answer waits until this broker itself acts on the change. */
const showMs = 5_000;

/** Changes each resource for itself; a fault stays with its resource. */
export function alterResources<Config extends AlteredConfig>(
  { resources, validateOnly, valueNeeded, change }: Alteration<Config>,
  services: Services,
): Promise<ResourceResult[]> {
  const repeated = duplicates(
    resources.map(({ resourceType, resourceName }) => resourceKey(resourceType, resourceName)),
  );
  const alter = async (resource: AlteredResource<Config>): Promise<void> => {
    const { resourceType, resourceName, configs } = resource;
    if (repeated.has(resourceKey(resourceType, resourceName))) throw invalid('Each resource must appear at most once.');
    const names = configs.map(({ name }) => name);
    if (duplicates(names).size > 0) throw invalid('Error due to duplicate config keys');
    const withoutValue = configs.filter((config) => config.value === null && valueNeeded(config));
    if (withoutValue.length > 0) {
      throw invalid(`Null value not supported for : ${withoutValue.map(({ name }) => name).join(', ')}`);
    }
    switch (resourceType) {
      case ConfigResourceType.TOPIC:
        if (resourceName === '') throw invalid('Default topic resources are not allowed.');
        checkTopicName(resourceName);
        return alterTopic(resourceName, (current) => change(configs, current), validateOnly, services);
      case ConfigResourceType.BROKER:
        checkBrokerName(resourceName, services.brokerConfigs, { emptyAllowed: true });
        // Taking back a change that there cannot be changes nothing, as in Kafka; kafka-reassign-partitions --verify counts on it.
        return services.brokerConfigs.refuseChange(configs.filter(valueNeeded).map(({ name }) => name));
      case ConfigResourceType.BROKER_LOGGER:
        checkBrokerName(resourceName, services.brokerConfigs, { emptyAllowed: false });
        throw invalid('The level of loggers is set when the broker starts.');
      case ConfigResourceType.CLIENT_METRICS:
      case ConfigResourceType.GROUP:
        throw invalid('This broker has no settings of groups or client metrics.');
      default:
        throw unknownResourceType(resourceType);
    }
  };
  return Promise.all(
    resources.map(async (resource) => {
      const { resourceType, resourceName } = resource;
      return { ...(await outcomeOf(() => alter(resource))), resourceType, resourceName };
    }),
  );
}

async function alterTopic(name: string, change: ConfigChange, validateOnly: boolean, { topics }: Services) {
  try {
    await topics.alterConfigs(name, change, { validateOnly, timeoutMs: showMs });
  } catch (error) {
    if (!(error instanceof KafkaError) || error.code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) throw error;
    throw new KafkaError(error.code, `The topic '${name}' does not exist.`);
  }
}

/** The answer for each resource of a request that failed as a whole. */
export const failAll = (code: ErrorCode, resources: readonly AlteredResource<unknown>[]): ResourceResult[] =>
  resources.map(({ resourceType, resourceName }) => ({
    ...failure(new KafkaError(code)),
    resourceType,
    resourceName,
  }));

const invalid = (message: string) => new KafkaError(ErrorCode.INVALID_REQUEST, message);
