/** A setting as DescribeConfigs shows it: its value, where that comes from, and what else could give it. */
import { topicConfigDefinitions, type ConfigType } from '@kafscale/protocol';

/** Where a value comes from, as the protocol numbers it (KIP-226). */
export const ConfigSource = {
  TOPIC: 1,
  STATIC_BROKER: 4,
  DEFAULT: 5,
} as const;
export type ConfigSource = (typeof ConfigSource)[keyof typeof ConfigSource];

export interface ConfigSynonym {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSource;
}

export interface DescribedConfig {
  readonly name: string;
  readonly value: string | null;
  readonly source: ConfigSource;
  readonly readOnly: boolean;
  readonly type: ConfigType;
  readonly documentation: string;
  /** Everything that gives a value, the one that holds first. */
  readonly synonyms: readonly ConfigSynonym[];
}

/** Every setting of a topic, in ascending order of names: its own value, or the default. */
export function describeTopicConfigs(overrides: ReadonlyMap<string, string>): DescribedConfig[] {
  const described: DescribedConfig[] = [];
  for (const [name, { kind, defaultValue, brokerName, documentation, hidden }] of topicConfigDefinitions) {
    if (hidden === true) continue;
    const synonyms: ConfigSynonym[] = [];
    const override = overrides.get(name);
    if (override !== undefined) synonyms.push({ name, value: override, source: ConfigSource.TOPIC });
    if (brokerName !== undefined) {
      synonyms.push({ name: brokerName, value: defaultValue, source: ConfigSource.DEFAULT });
    }
    described.push({
      name,
      value: override ?? defaultValue,
      source: override === undefined ? ConfigSource.DEFAULT : ConfigSource.TOPIC,
      readOnly: false,
      type: kind.type,
      documentation,
      synonyms,
    });
  }
  return described;
}
