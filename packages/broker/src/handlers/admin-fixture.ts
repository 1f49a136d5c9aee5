/** For tests of the admin handlers: services over real topics and image on a memory store, asked and answering in the bytes of a version. */
import { brokerConfigSchema, KafkaError, type Api } from '@kafscale/protocol';
import type { TopicsFixtureOptions } from '../cluster/topics-fixture.ts';
import { fixtureBrokerId, topicsFixture } from '../cluster/topics-fixture.ts';
import type { NewTopic } from '../cluster/topics.ts';
import { BrokerConfigs } from '../config/dynamic-config.ts';
import { nothingFolded, PartitionLog } from '../log/partition-log.ts';
import { PartitionLogs } from '../log/partition-logs.ts';
import { noResponse, type Handler, type RequestContext } from './define-handler.ts';
import type { Services } from './services.ts';

const byDefault: Omit<NewTopic, 'name'> = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] };

export async function adminFixture(options?: TopicsFixtureOptions & { readonly config?: Record<string, unknown> }) {
  const world = await topicsFixture(options);
  const { clock, image, topics } = world;
  const config = brokerConfigSchema.parse(options?.config ?? {});
  const logs = new PartitionLogs();
  const identity = { brokerId: fixtureBrokerId, advertisedHost: 'localhost', advertisedPort: 9092 };
  const brokerConfigs = new BrokerConfigs(config, identity);
  const services = { config, clock, image, topics, logs, brokerConfigs } as unknown as Services;

  /** The answer to a request at a version, through the bytes of both; fields the version lacks have their defaults. */
  const call = async <Request, Response>(
    handler: Handler<Request, Response>,
    version: number,
    request: Request,
  ): Promise<Response> => {
    const { api } = handler;
    const asked = throughBytes(api.request, request, version);
    const context = requestContext(version);
    let response: Response;
    try {
      const answer = await handler.handle(asked, context, services);
      if (answer === noResponse) throw new Error('no response');
      response = answer;
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error;
      response = handler.fail(error.code, asked, context);
    }
    return throughBytes(api.response, response, version);
  };

  return {
    ...world,
    services,
    call,
    createTopic: (name: string, options: Partial<NewTopic> = {}) =>
      topics.create({ ...byDefault, name, ...options }, { timeoutMs: 1_000 }),
    /** Opens a log of the topic's partition here, with so many bytes. */
    openLog(name: string, partition: number, sizeBytes: number) {
      const { topicId } = image.topic(name)!;
      const identity = { topicId, topicName: name, partition, leaderEpoch: 0 };
      const extent = {
        baseOffset: 0,
        nextOffset: 1,
        leaderEpoch: 0,
        objectKey: 'object',
        position: 0,
        length: sizeBytes,
        maxTimestamp: -1,
        maxTimestampBaseOffset: 0,
      };
      const recovered = { logStartOffset: 0, nextOffset: 1, folded: nothingFolded, extents: [extent], epochStarts: [] };
      logs.open(new PartitionLog(identity, recovered));
    },
  };
}

export type AdminFixture = Awaited<ReturnType<typeof adminFixture>>;

const throughBytes = <Message>(codec: Api<Message, unknown>['request'], message: Message, version: number): Message =>
  codec.decode(codec.encode(message, version), version);

const requestContext = (apiVersion: number): RequestContext => ({
  apiVersion,
  correlationId: 1,
  clientId: 'test',
  principal: 'User:ANONYMOUS',
  connectionId: 1,
  remoteAddress: '127.0.0.1',
  clientSoftware: { name: '', version: '' },
  receivedMs: 0,
  signal: new AbortController().signal,
  afterResponse: () => undefined,
  releaseRequest: () => undefined,
});
