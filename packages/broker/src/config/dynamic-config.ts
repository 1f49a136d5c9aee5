/**
 * This broker's settings under the names that Kafka's tools know them by. All of them are read when the broker starts (see the
 * configuration reference for their own names), so none can be altered while it runs.
 */
import {
  brokerConfigSchema,
  ConfigType,
  ErrorCode,
  KafkaError,
  topicConfigDefinitions,
  type BrokerConfig,
} from '@kafscale/protocol';
import { ConfigSource, type DescribedConfig } from './described-config.ts';

/** The Kafka release whose behaviour clients and tools may expect; some of them derive what to offer from it. */
const kafkaVersion = '4.3-IV0';

export interface BrokerIdentity {
  readonly brokerId: number;
  readonly advertisedHost: string;
  readonly advertisedPort: number;
}

interface Setting {
  readonly name: string;
  readonly type: ConfigType;
  readonly value: (config: BrokerConfig, identity: BrokerIdentity) => string | null;
  readonly documentation: string;
  /** Every broker is given its own; there is no default. */
  readonly given?: true;
}

const minutes = (ms: number) => String(Math.ceil(ms / 60_000));
const listener = (host: string, port: number) => `PLAINTEXT://${host}:${port}`;

const { BOOLEAN, INT, LIST, LONG, STRING, SHORT } = ConfigType;

const settings: readonly Setting[] = [
  {
    name: 'advertised.listeners',
    type: LIST,
    value: (_, { advertisedHost, advertisedPort }) => listener(advertisedHost, advertisedPort),
    documentation: 'Where clients are told to connect.',
    given: true,
  },
  {
    name: 'auto.create.topics.enable',
    type: BOOLEAN,
    value: ({ autoCreateTopics }) => String(autoCreateTopics),
    documentation: 'Whether a topic is created when a client first asks for it.',
  },
  {
    name: 'broker.id',
    type: INT,
    value: (_, { brokerId }) => String(brokerId),
    documentation: 'Id of this broker; the same as `node.id`.',
    given: true,
  },
  {
    name: 'broker.rack',
    type: STRING,
    value: ({ rack }) => rack ?? null,
    documentation: 'Rack or availability zone of this broker.',
  },
  {
    name: 'connections.max.idle.ms',
    type: LONG,
    value: ({ idleTimeoutMs }) => String(idleTimeoutMs),
    documentation: 'A connection without requests is closed after this time, milliseconds.',
  },
  {
    name: 'default.replication.factor',
    type: INT,
    value: () => '1',
    documentation:
      'Replication factor of a topic whose creator left it to the broker. The object store keeps records safe.',
  },
  {
    name: 'delete.topic.enable',
    type: BOOLEAN,
    value: () => 'true',
    documentation: 'Whether topics may be deleted.',
  },
  {
    name: 'group.initial.rebalance.delay.ms',
    type: INT,
    value: ({ groupInitialRebalanceDelayMs }) => String(groupInitialRebalanceDelayMs),
    documentation: 'How long an empty group waits for more members after its first one joined, milliseconds.',
  },
  {
    name: 'group.max.session.timeout.ms',
    type: INT,
    value: ({ groupMaxSessionTimeoutMs }) => String(groupMaxSessionTimeoutMs),
    documentation: 'Longest session timeout a group member may ask for, milliseconds.',
  },
  {
    name: 'group.max.size',
    type: INT,
    value: ({ groupMaxSize }) => String(groupMaxSize),
    documentation: 'Most members of a consumer group.',
  },
  {
    name: 'group.min.session.timeout.ms',
    type: INT,
    value: ({ groupMinSessionTimeoutMs }) => String(groupMinSessionTimeoutMs),
    documentation: 'Shortest session timeout a group member may ask for, milliseconds.',
  },
  {
    name: 'inter.broker.protocol.version',
    type: STRING,
    value: () => kafkaVersion,
    documentation: 'The Kafka release whose behaviour this broker follows. Brokers do not replicate from each other.',
  },
  {
    name: 'log.dirs',
    type: LIST,
    value: ({ dataDir }) => dataDir,
    documentation: 'Where the embedded stores keep records and metadata.',
  },
  {
    name: 'max.connections',
    type: INT,
    value: ({ maxConnections }) => String(maxConnections),
    documentation: 'Most client connections at once.',
  },
  {
    name: 'max.connections.per.ip',
    type: INT,
    value: ({ maxConnectionsPerIp }) => String(maxConnectionsPerIp),
    documentation: 'Most client connections at once from one address.',
  },
  {
    name: 'node.id',
    type: INT,
    value: (_, { brokerId }) => String(brokerId),
    documentation: 'Id of this broker, unique in its cluster.',
    given: true,
  },
  {
    name: 'num.partitions',
    type: INT,
    value: ({ autoCreatePartitions }) => String(autoCreatePartitions),
    documentation: 'Partitions of a topic created by itself, or whose creator left the number to the broker.',
  },
  {
    name: 'offset.metadata.max.bytes',
    type: INT,
    value: ({ offsetMetadataMaxBytes }) => String(offsetMetadataMaxBytes),
    documentation: 'Longest text a client may store beside a committed offset.',
  },
  {
    name: 'offsets.retention.minutes',
    type: INT,
    value: ({ offsetsRetentionMs }) => minutes(offsetsRetentionMs),
    documentation: 'How long committed offsets are kept after their group became empty, minutes.',
  },
  {
    name: 'offsets.topic.replication.factor',
    type: SHORT,
    value: () => '1',
    documentation: 'Committed offsets are in the metadata store; there is no topic for them.',
  },
  {
    name: 'producer.id.expiration.ms',
    type: INT,
    value: ({ producerIdExpirationMs }) => String(producerIdExpirationMs),
    documentation: 'How long the sequence state of a producer that sends nothing is kept, milliseconds.',
  },
  {
    name: 'socket.request.max.bytes',
    type: INT,
    value: ({ maxRequestBytes }) => String(maxRequestBytes),
    documentation: 'Largest request; a larger one closes its connection.',
  },
];

/** The defaults of topic settings under the names that brokers have for them. */
const topicDefaults: readonly Setting[] = [...topicConfigDefinitions.values()].flatMap(
  ({ brokerName, kind, defaultValue, documentation }) =>
    brokerName === undefined ? [] : [{ name: brokerName, type: kind.type, value: () => defaultValue, documentation }],
);

const table = [...settings, ...topicDefaults].sort((left, right) => (left.name < right.name ? -1 : 1));
const defaults = brokerConfigSchema.parse({});

export class BrokerConfigs {
  readonly brokerId: number;
  readonly #config: BrokerConfig;
  readonly #identity: BrokerIdentity;

  constructor(config: BrokerConfig, identity: BrokerIdentity) {
    this.brokerId = identity.brokerId;
    this.#config = config;
    this.#identity = identity;
  }

  /** Of this broker, in ascending order of names. */
  describe(): DescribedConfig[] {
    return table.map(({ name, type, value, documentation, given }) => {
      const held = value(this.#config, this.#identity);
      const byDefault = value(defaults, this.#identity);
      const source = given === true || held !== byDefault ? ConfigSource.STATIC_BROKER : ConfigSource.DEFAULT;
      return {
        name,
        value: held,
        source,
        readOnly: true,
        type,
        documentation,
        synonyms: held === null ? [] : [{ name, value: held, source }],
      };
    });
  }

  /** Throws KafkaError INVALID_REQUEST unless `names` is empty: nothing is altered while the broker runs. */
  refuseChange(names: readonly string[]): void {
    if (names.length === 0) return;
    throw new KafkaError(ErrorCode.INVALID_REQUEST, `Cannot update these configs dynamically: [${names.join(', ')}]`);
  }
}
