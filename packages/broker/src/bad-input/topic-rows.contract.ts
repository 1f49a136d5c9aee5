/** Topics that may not be, and names that look dangerous and are legal. */
import {
  createPartitions,
  createTopics,
  deleteTopics,
  ErrorCode,
  incrementalAlterConfigs,
  zeroUuid,
  type RequestOf,
} from '@kafscale/protocol';
import type { RawClient } from '@kafscale/testkit';
import { batch, batchesOf, fetchFrom, produceTo } from '../broker-fixture.ts';
import { known, type Row } from './row.contract.ts';

type NewTopic = RequestOf<typeof createTopics>['topics'][number];

const newTopic = (name: string, rest: Partial<NewTopic> = {}): NewTopic => ({
  name,
  numPartitions: 1,
  replicationFactor: 1,
  assignments: [],
  configs: [],
  ...rest,
});

async function created(client: RawClient, ...topics: readonly NewTopic[]): Promise<readonly number[]> {
  const response = await client.request(createTopics, 7, { topics, timeoutMs: 30_000, validateOnly: false });
  return response.topics.map(({ errorCode }) => errorCode);
}

const refusedNames = [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  'a\\b',
  'a\0b',
  'ä',
  'a b',
  'a\nb',
  'x'.repeat(250),
  '/etc/passwd',
  '%2e%2e',
  'a:b',
];
const legalNames = [
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'toString',
  '...',
  '-',
  '_',
  'x'.repeat(249),
  'CON',
  'a..b',
];

export const topicRows: readonly Row[] = [
  ...refusedNames.map((name): Row => [
    `the topic name ${JSON.stringify(name).slice(0, 30)}`,
    (client) => created(client, newTopic(name)),
    [ErrorCode.INVALID_TOPIC_EXCEPTION],
  ]),
  ...legalNames.map((name): Row => [
    `the topic name ${name.slice(0, 30)}, which is legal and holds records like any other`,
    async (client) => {
      const codes = await created(client, newTopic(name));
      await produceTo(client, name, 0, batch(['mine']));
      const [first] = batchesOf(await fetchFrom(client, name, 0, { offset: 0 }));
      return [...codes, first?.recordCount];
    },
    [ErrorCode.NONE, 1],
  ]),
  [
    'a name that differs from another only by . and _',
    async (client) => {
      await created(client, newTopic('a_collision.here'));
      return created(client, newTopic('a.collision_here'));
    },
    [ErrorCode.INVALID_TOPIC_EXCEPTION],
  ],
  ['a topic that exists', (client) => created(client, newTopic(known)), [ErrorCode.TOPIC_ALREADY_EXISTS]],
  ['no partitions', (client) => created(client, newTopic('p0', { numPartitions: 0 })), [ErrorCode.INVALID_PARTITIONS]],
  ['-2 partitions', (client) => created(client, newTopic('p2', { numPartitions: -2 })), [ErrorCode.INVALID_PARTITIONS]],
  [
    '2^31 - 1 partitions',
    (client) => created(client, newTopic('pm', { numPartitions: 0x7fff_ffff })),
    [ErrorCode.INVALID_PARTITIONS],
  ],
  [
    'a replication factor of 0',
    (client) => created(client, newTopic('r0', { replicationFactor: 0 })),
    [ErrorCode.INVALID_REPLICATION_FACTOR],
  ],
  [
    'a replication factor of -2',
    (client) => created(client, newTopic('r2', { replicationFactor: -2 })),
    [ErrorCode.INVALID_REPLICATION_FACTOR],
  ],
  [
    'a setting that does not exist',
    (client) => created(client, newTopic('c1', { configs: [{ name: 'no.such', value: '1' }] })),
    [ErrorCode.INVALID_CONFIG],
  ],
  [
    'a value that does not fit its setting',
    (client) => created(client, newTopic('c2', { configs: [{ name: 'retention.ms', value: 'long' }] })),
    [ErrorCode.INVALID_CONFIG],
  ],
  [
    'the settings __proto__ and constructor',
    (client) =>
      created(
        client,
        newTopic('c3', { configs: [{ name: '__proto__', value: '1' }] }),
        newTopic('c4', { configs: [{ name: 'constructor', value: '1' }] }),
      ),
    [ErrorCode.INVALID_CONFIG, ErrorCode.INVALID_CONFIG],
  ],
  [
    'one bad topic among good ones',
    (client) => created(client, newTopic('good-1'), newTopic('..'), newTopic('good-2')),
    [ErrorCode.NONE, ErrorCode.INVALID_TOPIC_EXCEPTION, ErrorCode.NONE],
  ],
  [
    'the same topic twice in a request',
    async (client) => [...new Set(await created(client, newTopic('twice'), newTopic('twice')))],
    [ErrorCode.INVALID_REQUEST],
  ],
  [
    'fewer partitions than there are',
    async (client) => {
      const topics = [{ name: known, count: 1, assignments: null }];
      return (await client.request(createPartitions, 3, { topics, timeoutMs: 30_000, validateOnly: false })).results[0]!
        .errorCode;
    },
    ErrorCode.INVALID_PARTITIONS,
  ],
  [
    'the deletion of a topic that does not exist',
    async (client) => {
      const request = { topics: [{ name: 'unknown', topicId: zeroUuid }], topicNames: [], timeoutMs: 30_000 };
      return (await client.request(deleteTopics, 6, request)).responses[0]!.errorCode;
    },
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
  [
    'a change of a topic that does not exist',
    async (client) => {
      const configs = [{ name: 'retention.ms', configOperation: 0, value: '1' }];
      const resources = [{ resourceType: 2, resourceName: 'unknown', configs }];
      return (await client.request(incrementalAlterConfigs, 1, { resources, validateOnly: false })).responses[0]!
        .errorCode;
    },
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ],
];
