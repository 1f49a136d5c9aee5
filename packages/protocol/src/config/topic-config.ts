/**
 * A topic's settings: checked when they are given, and read into the form the broker acts on. The table of all settings is
 * topic-config-definitions.ts.
 */
import { ErrorCode } from '../errors/error-codes.ts';
import { KafkaError } from '../errors/kafka-error.ts';
import { ConfigValueError } from './config-kind.ts';
import {
  topicConfigDefinitions,
  topicConfigs,
  type TopicConfigDefinition,
  type TopicConfigName,
} from './topic-config-definitions.ts';

/** Longest value that is stored, as in Kafka. */
const maxValueLength = 32_767;

type ValueOf<Name extends TopicConfigName> = ReturnType<(typeof topicConfigs)[Name]['kind']['parse']>;

/** What holds for a topic: its own settings over the defaults. Times of int64 saturate at the largest safe integer. */
export interface TopicConfig {
  /** Neither is possible too: everything is kept for ever. */
  readonly cleanupPolicy: { readonly delete: boolean; readonly compact: boolean };
  readonly compressionType: ValueOf<'compression.type'>;
  readonly maxMessageBytes: number;
  readonly messageTimestampType: ValueOf<'message.timestamp.type'>;
  readonly messageTimestampBeforeMaxMs: number;
  readonly messageTimestampAfterMaxMs: number;
  /** -1 for ever. */
  readonly retentionMs: number;
  /** Negative for no limit. */
  readonly retentionBytes: number;
  readonly deleteRetentionMs: number;
  readonly minCompactionLagMs: number;
  readonly maxCompactionLagMs: number;
  readonly minCleanableDirtyRatio: number;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly minInsyncReplicas: number;
}

/**
 * The settings in their one written form. Throws KafkaError INVALID_CONFIG with Kafka's words for an unknown name, a value that is
 * not allowed, and settings that contradict each other; the names are checked before the values.
 */
export function checkTopicConfigs(configs: ReadonlyMap<string, string>): Map<string, string> {
  const known: [name: string, text: string, definition: TopicConfigDefinition][] = [];
  for (const [name, text] of configs) {
    const definition = topicConfigDefinitions.get(name);
    if (definition === undefined) throw invalid(`Unknown topic config name: ${name}`);
    known.push([name, text, definition]);
  }
  const checked = new Map<string, string>();
  for (const [name, text, { kind }] of known) checked.set(name, normalize(name, text, kind));
  checkTogether(checked);
  return checked;
}

/** The typed settings. What is stored and cannot be read (a newer broker wrote it) counts as not given. */
export function parseTopicConfig(overrides: ReadonlyMap<string, string>): TopicConfig {
  const value = <Name extends TopicConfigName>(name: Name): ValueOf<Name> => effectiveValue(name, overrides);
  const policies = value('cleanup.policy');
  return {
    cleanupPolicy: { delete: policies.includes('delete'), compact: policies.includes('compact') },
    compressionType: value('compression.type'),
    maxMessageBytes: value('max.message.bytes'),
    messageTimestampType: value('message.timestamp.type'),
    messageTimestampBeforeMaxMs: saturated(value('message.timestamp.before.max.ms')),
    messageTimestampAfterMaxMs: saturated(value('message.timestamp.after.max.ms')),
    retentionMs: saturated(value('retention.ms')),
    retentionBytes: saturated(value('retention.bytes')),
    deleteRetentionMs: saturated(value('delete.retention.ms')),
    minCompactionLagMs: saturated(value('min.compaction.lag.ms')),
    maxCompactionLagMs: saturated(value('max.compaction.lag.ms')),
    minCleanableDirtyRatio: value('min.cleanable.dirty.ratio'),
    segmentBytes: value('segment.bytes'),
    segmentMs: saturated(value('segment.ms')),
    minInsyncReplicas: value('min.insync.replicas'),
  };
}

function effectiveValue<Name extends TopicConfigName>(
  name: Name,
  overrides: ReadonlyMap<string, string>,
): ValueOf<Name> {
  const { kind, defaultValue } = topicConfigs[name];
  const text = overrides.get(name);
  if (text !== undefined) {
    try {
      return kind.parse(text) as ValueOf<Name>;
    } catch (error) {
      if (!(error instanceof ConfigValueError)) throw error;
    }
  }
  return kind.parse(defaultValue) as ValueOf<Name>;
}

function normalize(name: string, text: string, kind: TopicConfigDefinition['kind']): string {
  try {
    const normal = kind.format(kind.parse(text));
    if (normal.length > maxValueLength) throw new ConfigValueError('', `longer than ${maxValueLength} characters`);
    return normal;
  } catch (error) {
    if (!(error instanceof ConfigValueError)) throw error;
    throw invalid(`Invalid value ${error.shown} for configuration ${name}: ${error.message}`);
  }
}

function checkTogether(configs: ReadonlyMap<string, string>): void {
  const minLagMs = effectiveValue('min.compaction.lag.ms', configs);
  const maxLagMs = effectiveValue('max.compaction.lag.ms', configs);
  if (minLagMs > maxLagMs) {
    throw invalid(
      `conflict topic config setting min.compaction.lag.ms (${minLagMs}) > max.compaction.lag.ms (${maxLagMs})`,
    );
  }
  if (effectiveValue('remote.storage.enable', configs)) {
    throw invalid(
      'Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.',
    );
  }
}

const invalid = (message: string) => new KafkaError(ErrorCode.INVALID_CONFIG, message);

function saturated(value: bigint): number {
  const largest = BigInt(Number.MAX_SAFE_INTEGER);
  return Number(value > largest ? largest : value < -largest ? -largest : value);
}
