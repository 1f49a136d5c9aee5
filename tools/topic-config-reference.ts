/** `docs/reference/topic-configs.md`, printed from the table of topic settings. */
import { ConfigType, topicConfigDefinitions, type ConfigEffect, type TopicConfigDefinition } from '@kafscale/protocol';

/** Where the page lies, from the root of the repository. */
export const topicConfigReferencePath = 'docs/reference/topic-configs.md';

const typeNames = new Map(Object.entries(ConfigType).map(([name, code]) => [code, name.toLowerCase()]));

const introduction = `# Topic settings

Every setting that Kafka 4.3 knows is accepted, checked as Kafka checks it, stored, and reported with its source and default.
A name or value that Kafka refuses is refused with INVALID_CONFIG. What a setting changes here is said below.

This page is generated from the table in \`packages/protocol/src/config/topic-config-definitions.ts\`.
`;

export function topicConfigReference(): string {
  return [
    introduction,
    section('Acted on', 'These change what the broker does.', 'acted on'),
    section(
      'Stored only',
      'These are kept and reported, so that tools which set or compare them work. They change nothing.',
      'stored only',
    ),
  ].join('\n');
}

function section(heading: string, text: string, effect: ConfigEffect): string {
  const entries = [...topicConfigDefinitions].filter(
    ([, definition]) => definition.effect === effect && definition.hidden !== true,
  );
  return [`## ${heading}\n`, `${text}\n`, ...entries.map(([name, definition]) => entry(name, definition))].join('\n');
}

function entry(name: string, { kind, defaultValue, brokerName, documentation }: TopicConfigDefinition): string {
  const facts = [
    `${typeNames.get(kind.type)!}, ${kind.allowed}`,
    `default ${defaultValue === '' ? 'empty' : `\`${defaultValue}\``}`,
    ...(brokerName === undefined ? [] : [`broker setting \`${brokerName}\``]),
  ];
  return `### \`${name}\`\n\n${documentation}\n\n${facts.map((fact) => `- ${fact}`).join('\n')}\n`;
}
