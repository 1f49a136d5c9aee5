/** What a KafScaleTopic asks for, in the words of Kafka: read from the resource, or the sentence that says why it cannot be. */
import { checkTopicConfigs, KafkaError } from '@kafscale/protocol';
import { topicSchema, type KafScaleTopicSpec } from '../../api/topic.ts';
import type { Stored } from '../../kube/index.ts';
import type { KafScaleTopic } from '../resource-kinds.ts';

export interface TopicWish {
  readonly clusterRef: string;
  /** In Kafka. */
  readonly topicName: string;
  readonly partitions: number;
  /** By Kafka's names, each in the form that brokers answer with. */
  readonly configs: ReadonlyMap<string, string>;
  readonly deletionPolicy: KafScaleTopicSpec['deletionPolicy'];
  /** Why no topic can be as asked; undefined where one can. */
  readonly fault: string | undefined;
}

const longestName = 249;
/** Topics of the brokers themselves. */
const internalTopics = new Set(['__consumer_offsets', '__transaction_state', '__cluster_metadata']);

/** The wish, also of a resource that breaks the schema as far as it can be read. */
export function wishOf({ metadata, spec }: Stored<KafScaleTopic>): TopicWish {
  const parsed = topicSchema.spec.safeParse(spec);
  if (!parsed.success) {
    const { clusterRef, topicName } = (spec ?? {}) as { readonly clusterRef?: unknown; readonly topicName?: unknown };
    const [issue] = parsed.error.issues;
    return {
      clusterRef: typeof clusterRef === 'string' ? clusterRef : '',
      topicName: typeof topicName === 'string' ? topicName : metadata.name,
      ...{ partitions: 1, configs: new Map(), deletionPolicy: 'Retain' },
      fault: `spec.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not valid'}`,
    };
  }
  const { clusterRef, topicName = metadata.name, partitions, deletionPolicy } = parsed.data;
  const configs = configsOf(parsed.data);
  return { clusterRef, topicName, partitions, configs, deletionPolicy, fault: nameFault(topicName) };
}

/** What is wrong with a topic's name; undefined for a good one. */
export function nameFault(name: string): string | undefined {
  if (internalTopics.has(name)) return `${name} belongs to the brokers themselves; choose another topicName`;
  if (name === '.' || name === '..') return `no topic can be named "${name}"; choose another topicName`;
  if (name.length > longestName) {
    return `a topic's name has at most ${longestName} characters, this one has ${name.length}; set a shorter topicName`;
  }
  return /^[a-zA-Z0-9._-]+$/.test(name)
    ? undefined
    : `a topic's name has letters, digits, ".", "_" and "-" only; "${name}" has others`;
}

function configsOf({ retentionMs, retentionBytes, config = {} }: KafScaleTopicSpec): ReadonlyMap<string, string> {
  const given = { ...config };
  if (retentionMs !== undefined) given['retention.ms'] = String(retentionMs);
  if (retentionBytes !== undefined) given['retention.bytes'] = String(retentionBytes);
  const names = Object.keys(given).sort();
  return new Map(names.map((name) => [name, asAnswered(name, given[name]!)]));
}

/** Brokers answer with one form of several that mean the same (`TRUE`, ` 5`). What is no value at all is for them to refuse. */
function asAnswered(name: string, text: string): string {
  try {
    return checkTopicConfigs(new Map([[name, text]])).get(name) ?? text;
  } catch (error) {
    if (error instanceof KafkaError) return text;
    throw error;
  }
}

/** Reads each state of a resource once, however often it is asked for. */
export class Wishes {
  readonly #known = new WeakMap<object, TopicWish>();

  of(topic: Stored<KafScaleTopic>): TopicWish {
    let wish = this.#known.get(topic);
    if (wish === undefined) {
      wish = wishOf(topic);
      this.#known.set(topic, wish);
    }
    return wish;
  }
}
