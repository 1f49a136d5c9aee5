/** Our declarations beside the message definitions in Kafka's jars: names, types, order, nulls, tags, defaults, at every version. */
import { apis } from '@kafscale/protocol';
import { kafkaDefinitions, schemaVersions } from './kafka-clients.ts';
import {
  contains,
  declaredDefaults,
  declaredFields,
  definedDefaults,
  definedFields,
  readDefinitions,
  versionRange,
  type MessageDefinition,
} from './kafka-definition.ts';

/** APIs that are served to clients (P0 and P1 of the compatibility table); the others are not declared. */
const expectedKeys = [
  0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 29, 30, 31, 32, 33, 35, 36, 37, 42, 43, 44,
  45, 46, 47, 48, 49, 50, 51, 60, 75,
];

const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const minutes = 60_000;

let jars: readonly (readonly MessageDefinition[])[] = [];
beforeAll(async () => {
  jars = await Promise.all(schemaVersions.map(async (version) => readDefinitions(await kafkaDefinitions(version))));
}, 10 * minutes);

const directions = ['request', 'response'] as const;

function definitionsOf(key: number, direction: string): readonly MessageDefinition[] {
  return jars.flatMap((jar) => jar.filter((each) => each.apiKey === key && each.type === direction));
}

/** The versions of a definition that Kafka promises to keep. */
function stableVersions({ validVersions, latestVersionUnstable }: MessageDefinition): readonly number[] {
  const [first, last] = versionRange(validVersions)!;
  return range(first, latestVersionUnstable === true ? last - 1 : last);
}

it('declares every API that clients are served', () => {
  expect(apis.map(({ key }) => key)).toEqual(expectedKeys);
});

describe.each(apis.map((api) => [api.name, api] as const))('%s', (name, api) => {
  const [first, last] = api.versions;

  it('has the key, the versions and the flexible versions of Kafka', () => {
    const requests = definitionsOf(api.key, 'request');
    expect(requests.map((request) => request.name)).toEqual([`${name}Request`, `${name}Request`]);
    const versions = new Set(requests.flatMap(stableVersions));
    expect([...versions].sort((a, b) => a - b)).toEqual(range(first, last));
    for (const definition of [...requests, ...definitionsOf(api.key, 'response')]) {
      for (const version of stableVersions(definition)) {
        const isFlexible = api.flexibleFrom !== null && version >= api.flexibleFrom;
        expect({ version, isFlexible }).toEqual({
          version,
          isFlexible: contains(definition.flexibleVersions, version),
        });
      }
    }
  });

  it.each(directions)('has the fields of Kafka in its %s, at every version', (direction) => {
    const compared = new Set<number>();
    for (const definition of definitionsOf(api.key, direction)) {
      for (const version of range(first, last).filter((each) => contains(definition.validVersions, each))) {
        const declared = declaredFields(api[direction].declaration, version);
        expect({ version, fields: declared }).toEqual({ version, fields: definedFields(definition, version) });
        compared.add(version);
      }
    }
    expect(compared.size).toBe(last - first + 1);
  });

  it.each(directions)('has the defaults of Kafka in its %s', (direction) => {
    for (const definition of definitionsOf(api.key, direction)) {
      const versions = range(first, last).filter((version) => contains(definition.validVersions, version));
      const declared = declaredDefaults(api[direction].declaration, versions);
      expect(Object.fromEntries(declared)).toEqual(Object.fromEntries(definedDefaults(definition, versions)));
    }
  });
});
