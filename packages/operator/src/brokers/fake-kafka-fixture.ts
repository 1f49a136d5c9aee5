/** For tests of the admin client: a broker over a real socket that answers each API as the test says. */
import {
  apiVersions,
  createPartitions,
  createTopics,
  deleteTopics,
  describeConfigs,
  encodeResponse,
  framePrefixBytes,
  incrementalAlterConfigs,
  listOffsets,
  metadataApi,
  Reader,
  readRequestHeader,
  Writer,
  type Api,
  type RequestOf,
} from '@kafscale/protocol';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

const apis = [
  ...[apiVersions, metadataApi, createTopics, deleteTopics, createPartitions],
  ...[describeConfigs, incrementalAlterConfigs, listOffsets],
] as unknown as readonly Api<unknown, unknown>[];

/** `hang` as an answer is none at all, `hang-up` closes the connection. */
type Handler = (request: unknown) => unknown;

export class FakeKafka {
  readonly asked: { readonly api: string; readonly request: unknown }[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #handlers = new Map<number, Handler>();

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.#serve(socket));
    const apiKeys = apis.map(({ key, versions }) => ({
      apiKey: key,
      minVersion: versions[0],
      maxVersion: versions[1],
    }));
    this.on(apiVersions, () => ({
      ...{ errorCode: 0, apiKeys, throttleTimeMs: 0, supportedFeatures: [], finalizedFeaturesEpoch: -1n },
      ...{ finalizedFeatures: [], zkMigrationReady: false },
    }));
  }

  static async start(): Promise<FakeKafka> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FakeKafka(server);
  }

  /** The answer is encoded as the API says, whatever else is in it. */
  on<Request>(api: Api<Request, unknown>, handler: (request: NoInfer<Request>) => unknown): void {
    this.#handlers.set(api.key, handler as Handler);
  }

  /** How often this was asked for. */
  count({ name }: { readonly name: string }): number {
    return this.asked.filter(({ api }) => api === name).length;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let received = Buffer.alloc(0);
    socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
      while (received.length >= framePrefixBytes) {
        const end = framePrefixBytes + received.readInt32BE(0);
        if (received.length < end) return;
        this.#answer(socket, received.subarray(framePrefixBytes, end));
        received = received.subarray(end);
      }
    });
  }

  #answer(socket: Socket, frame: Buffer): void {
    const reader = new Reader(frame);
    const { api, header } = readRequestHeader(reader, (key) => apis.find((one) => one.key === key))!;
    const request = api.request.read(reader, header.apiVersion);
    this.asked.push({ api: api.name, request });
    const answer = this.#handlers.get(api.key)?.(request) ?? 'hang-up';
    if (answer === 'hang') return;
    if (answer === 'hang-up') {
      socket.destroy();
      return;
    }
    const { chunks, byteLength } = encodeResponse(new Writer(), api, header.apiVersion, header.correlationId, answer);
    socket.write(Buffer.concat(chunks, byteLength));
  }
}

/** Of brokers and one topic, whose partitions are led as told; `undefined` leaders are none. */
export function metadataOf(
  brokers: readonly FakeKafka[],
  { topic = 't', leaders, controllerId = 0 }: { topic?: string; leaders: readonly number[]; controllerId?: number },
) {
  return ({ topics }: RequestOf<typeof metadataApi>) => {
    const names = topics === null ? [topic] : topics.map(({ name }) => name ?? '');
    return {
      ...{ throttleTimeMs: 0, clusterId: 'c', controllerId, clusterAuthorizedOperations: 0, errorCode: 0 },
      brokers: brokers.map(({ port }, nodeId) => ({ nodeId, host: '127.0.0.1', port, rack: null })),
      topics: names.map((name) => ({
        ...{ errorCode: name === topic ? 0 : 3, name, topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', isInternal: false },
        partitions: (name === topic ? leaders : []).map((leaderId, partitionIndex) => ({
          ...{ errorCode: leaderId < 0 ? 5 : 0, partitionIndex, leaderId, leaderEpoch: 1 },
          ...{ replicaNodes: [], isrNodes: [], offlineReplicas: [] },
        })),
        topicAuthorizedOperations: 0,
      })),
    };
  };
}
