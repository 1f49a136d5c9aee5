import { jest } from '@jest/globals';
import { apiVersions, ErrorCode, fetch, framePrefixBytes, heartbeat, KafkaError, produce } from '@kafscale/protocol';
import type { RequestOf, ResponseOf } from '@kafscale/protocol';
import { seededRandom } from '@kafscale/runtime';
import { ConnectionClosed, eventually, FakeClock, RawClient, settled } from '@kafscale/testkit';
import { CloseConnection, defineHandler, noResponse, type RequestContext } from '../handlers/define-handler.ts';
import { startTestListener, type TestListener, type TestListenerSettings } from './listener.fixture.ts';

const MiB = 2 ** 20;

jest.setTimeout(30_000);

/** Answers given from outside, in whatever order the test wants. */
class Desk<Response> {
  readonly contexts: RequestContext[] = [];
  readonly #answers: ((response: Response | Error) => void)[] = [];

  receive(context: RequestContext): Promise<Response> {
    this.contexts.push(context);
    return new Promise((resolve, reject) =>
      this.#answers.push((response) => (response instanceof Error ? reject(response) : resolve(response))),
    );
  }

  answer(index: number, response: Response | Error): void {
    this.#answers[index]!(response);
  }

  async until(count: number): Promise<void> {
    await eventually(`${count} requests in work`, () => this.contexts.length >= count);
  }
}

type HeartbeatResponse = ResponseOf<typeof heartbeat>;
type ProduceRequest = RequestOf<typeof produce>;
type ProduceResponse = ResponseOf<typeof produce>;

const beat = (groupId = 'g'): RequestOf<typeof heartbeat> => ({
  groupId,
  generationId: 1,
  memberId: 'm',
  groupInstanceId: null,
});
const beaten = (throttleTimeMs: number): HeartbeatResponse => ({ throttleTimeMs, errorCode: ErrorCode.NONE });

const heartbeats = (
  handle: (
    request: RequestOf<typeof heartbeat>,
    context: RequestContext,
  ) => Promise<HeartbeatResponse> | HeartbeatResponse,
) => defineHandler({ api: heartbeat, fail: (errorCode) => ({ throttleTimeMs: 0, errorCode }), handle });

const produced: ProduceResponse = { responses: [], throttleTimeMs: 0, nodeEndpoints: [] };
const records = (bytes: Buffer, acks = -1): ProduceRequest => ({
  transactionalId: null,
  acks,
  timeoutMs: 1_000,
  topicData: [{ name: 't', topicId: 'AAAAAAAAAAAAAAAAAAAAAA', partitionData: [{ index: 0, records: bytes }] }],
});
const produces = (
  handle: (
    request: ProduceRequest,
    context: RequestContext,
  ) => Promise<ProduceResponse | typeof noResponse> | ProduceResponse | typeof noResponse,
) => defineHandler({ api: produce, concurrent: true, fail: () => produced, handle });

const firstRecords = (request: ProduceRequest): Buffer => request.topicData[0]!.partitionData[0]!.records as Buffer;

describe('Listener', () => {
  const running: TestListener[] = [];
  const clients: RawClient[] = [];

  const start = async (settings: TestListenerSettings = {}): Promise<TestListener> => {
    const started = await startTestListener(settings);
    running.push(started);
    return started;
  };
  const connect = async ({ port }: TestListener): Promise<RawClient> => {
    const client = await RawClient.connect({ port });
    clients.push(client);
    return client;
  };

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await Promise.all(running.splice(0).map(({ listener }) => listener.close()));
  });

  it('answers a request', async () => {
    const client = await connect(await start({ handlers: [heartbeats(({ groupId }) => beaten(groupId.length))] }));
    expect(await client.request(heartbeat, 4, beat('abc'))).toEqual(beaten(3));
  });

  it('tells the handler who asks', async () => {
    const desk = new Desk<HeartbeatResponse>();
    const client = await connect(await start({ handlers: [heartbeats((_request, context) => desk.receive(context))] }));
    await client.request(apiVersions, 3, { clientSoftwareName: 'raw', clientSoftwareVersion: '1.0' });
    const answer = client.request(heartbeat, 4, beat());
    await desk.until(1);
    const { apiVersion, clientId, principal, remoteAddress, clientSoftware } = desk.contexts[0]!;
    desk.answer(0, beaten(0));
    await answer;
    expect({ apiVersion, clientId, principal, remoteAddress, clientSoftware }).toEqual({
      apiVersion: 4,
      clientId: 'raw-client',
      principal: 'User:ANONYMOUS',
      remoteAddress: '127.0.0.1',
      clientSoftware: { name: 'raw', version: '1.0' },
    });
  });

  it('runs requests of one connection one after another', async () => {
    const desk = new Desk<HeartbeatResponse>();
    const server = await start({ handlers: [heartbeats((_request, context) => desk.receive(context))] });
    const client = await connect(server);
    const beatBytes = client.encode(heartbeat, 4, beat()).length - framePrefixBytes;
    const answers = [client.request(heartbeat, 4, beat()), client.request(heartbeat, 4, beat())];
    await desk.until(1);
    await eventually(
      'the bytes have arrived',
      async () => (await server.read('kafscale_in_flight_request_bytes')) === 2 * beatBytes,
    );
    expect(desk.contexts).toHaveLength(1);
    desk.answer(0, beaten(1));
    await desk.until(2);
    desk.answer(1, beaten(2));
    expect(await Promise.all(answers)).toEqual([beaten(1), beaten(2)]);
  });

  it('runs concurrent requests of one connection together and answers them in order', async () => {
    const desk = new Desk<ProduceResponse>();
    const client = await connect(await start({ handlers: [produces((_request, context) => desk.receive(context))] }));
    const order: number[] = [];
    const answers = [1, 2, 3].map((number) =>
      client.request(produce, 9, records(Buffer.alloc(10))).then(() => order.push(number)),
    );
    await desk.until(3);
    for (const index of [2, 1, 0]) desk.answer(index, produced);
    await Promise.all(answers);
    expect(order).toEqual([1, 2, 3]);
  });

  it('starts no more requests of a connection than it may have in flight', async () => {
    const desk = new Desk<ProduceResponse>();
    const server = await start({
      handlers: [produces((_request, context) => desk.receive(context))],
      config: { maxInFlightRequests: 3 },
    });
    const client = await connect(server);
    const answers = Array.from({ length: 20 }, () => client.request(produce, 9, records(Buffer.alloc(10))));
    for (let answered = 0; answered < 20; answered += 1) {
      await desk.until(Math.min(20, answered + 3));
      expect(desk.contexts.length).toBeLessThanOrEqual(answered + 3);
      desk.answer(answered, produced);
    }
    expect(await Promise.all(answers)).toHaveLength(20);
  });

  it.each([
    ['a few bytes', 100],
    ['more than one read', 100_000],
    ['more than the landing buffer in one go', 65_536],
    ['half a slab', 2 * MiB],
    ['more than a slab', 9 * MiB + 17],
  ])('hands on the bytes of %s unchanged', async (_name, length) => {
    let sent: Buffer = Buffer.alloc(0);
    const equal: boolean[] = [];
    const client = await connect(
      await start({
        handlers: [
          produces((request) => {
            equal.push(firstRecords(request).equals(sent));
            return produced;
          }),
        ],
      }),
    );
    for (let round = 0; round < 3; round += 1) {
      sent = seededRandom(round).bytes(length);
      await client.request(produce, 9, records(sent));
    }
    expect(equal).toEqual([true, true, true]);
  });

  it('keeps the bytes of requests in work apart, however their frames are cut', async () => {
    const desk = new Desk<ProduceResponse>();
    const seen: ProduceRequest[] = [];
    const client = await connect(
      await start({
        handlers: [
          produces((request, context) => {
            seen.push(request);
            return desk.receive(context);
          }),
        ],
      }),
    );
    const sizes = [10, 70_000, 1, 40_000, 3 * MiB, 5, 300_000, 20_000, 100];
    const bytes = Buffer.concat(
      sizes.map((size, index) => client.encode(produce, 9, records(Buffer.alloc(size, index + 1)))),
    );
    for (let position = 0; position < bytes.length; position += 33_333) {
      client.write(bytes.subarray(position, position + 33_333));
      if (position % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await desk.until(sizes.length);
    expect(seen.map((request) => firstRecords(request).length)).toEqual(sizes);
    for (const [index, request] of seen.entries()) {
      expect(firstRecords(request).equals(Buffer.alloc(sizes[index]!, index + 1))).toBe(true);
    }
    for (const index of sizes.keys()) desk.answer(index, produced);
    for (let answered = 0; answered < sizes.length; answered += 1) await client.nextFrame();
  });

  it('reads a request that arrives byte by byte', async () => {
    const client = await connect(await start({ handlers: [heartbeats(({ groupId }) => beaten(groupId.length))] }));
    const bytes = Buffer.concat([client.encode(heartbeat, 4, beat('one')), client.encode(heartbeat, 4, beat('three'))]);
    for (const byte of bytes) {
      client.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.nextFrame();
    await client.nextFrame();
  });

  it('maps a KafkaError to its code, anything else to UNKNOWN_SERVER_ERROR', async () => {
    const errors = [new KafkaError(ErrorCode.UNKNOWN_MEMBER_ID), new TypeError('bug')];
    const client = await connect(
      await start({
        handlers: [
          heartbeats(() => {
            throw errors.shift()!;
          }),
        ],
      }),
    );
    expect((await client.request(heartbeat, 4, beat())).errorCode).toBe(ErrorCode.UNKNOWN_MEMBER_ID);
    expect((await client.request(heartbeat, 4, beat())).errorCode).toBe(ErrorCode.UNKNOWN_SERVER_ERROR);
  });

  it('answers with an error when an answer cannot be encoded, and goes on', async () => {
    const broken = [{ throttleTimeMs: 0, errorCode: null } as unknown as HeartbeatResponse, beaten(5)];
    const client = await connect(
      await start({
        handlers: [
          defineHandler({ ...heartbeats(() => broken.shift()!), api: { ...heartbeat, response: failingOnNull } }),
        ],
      }),
    );
    expect((await client.request(heartbeat, 4, beat())).errorCode).toBe(ErrorCode.UNKNOWN_SERVER_ERROR);
    expect(await client.request(heartbeat, 4, beat())).toEqual(beaten(5));
  });

  const failingOnNull: typeof heartbeat.response = {
    ...heartbeat.response,
    write(writer, message, version) {
      if (typeof message.errorCode !== 'number') throw new TypeError('null');
      heartbeat.response.write(writer, message, version);
    },
  };

  it('sends nothing for a request that has no response', async () => {
    const client = await connect(await start({ handlers: [produces(() => noResponse), heartbeats(() => beaten(9))] }));
    client.send(produce, 9, records(Buffer.alloc(10), 0));
    expect(await client.request(heartbeat, 4, beat())).toEqual(beaten(9));
  });

  it('closes the connection where a handler says so, after the answers before', async () => {
    const client = await connect(
      await start({
        handlers: [
          heartbeats(() => beaten(1)),
          produces(() => {
            throw new CloseConnection('acks=0 failed');
          }),
        ],
      }),
    );
    const first = client.request(heartbeat, 4, beat());
    client.send(produce, 9, records(Buffer.alloc(10), 0));
    expect(await first).toEqual(beaten(1));
    await client.closed;
  });

  describe('afterResponse', () => {
    it('runs once the client has the answer', async () => {
      const release = jest.fn();
      const client = await connect(
        await start({
          handlers: [
            heartbeats((_request, context) => {
              context.afterResponse(release);
              return beaten(1);
            }),
          ],
        }),
      );
      await client.request(heartbeat, 4, beat());
      await eventually('the release ran', () => release.mock.calls.length === 1);
      await client.close();
      expect(release).toHaveBeenCalledTimes(1);
    });

    it('runs once for a request without a response', async () => {
      const release = jest.fn();
      const client = await connect(
        await start({
          handlers: [
            produces((_request, context) => {
              context.afterResponse(release);
              return noResponse;
            }),
          ],
        }),
      );
      client.send(produce, 9, records(Buffer.alloc(1), 0));
      await eventually('the release ran', () => release.mock.calls.length === 1);
    });

    it('runs once when the connection goes before the answer', async () => {
      const release = jest.fn();
      const desk = new Desk<HeartbeatResponse>();
      const server = await start({
        handlers: [
          heartbeats((_request, context) => {
            context.afterResponse(release);
            return desk.receive(context);
          }),
        ],
      });
      const client = await connect(server);
      client.send(heartbeat, 4, beat());
      await desk.until(1);
      const { signal } = desk.contexts[0]!;
      await client.close();
      await eventually('the signal aborts', () => signal.aborted);
      await eventually('0 connections', () => server.listener.connectionCount === 0);
      desk.answer(0, beaten(1));
      await eventually('the release ran', () => release.mock.calls.length === 1);
    });

    it('waits for a client that does not read, and runs when it is gone', async () => {
      const release = jest.fn();
      const chunk = Buffer.alloc(MiB);
      const server = await start({
        handlers: [
          defineHandler({
            api: fetch,
            fail: () => fetched([]),
            handle(_request, context) {
              context.afterResponse(release);
              return fetched(Array.from({ length: 32 }, () => chunk));
            },
          }),
        ],
      });
      const client = await connect(server);
      client.pause();
      client.send(fetch, 11, fetching);
      await eventually('1 connection', () => server.listener.connectionCount === 1);
      await eventually('bytes are sent', async () => (await server.read('kafscale_network_sent_bytes_total'))! > MiB);
      await settled();
      expect(release).not.toHaveBeenCalled();
      await client.close();
      await eventually('the release ran', () => release.mock.calls.length === 1);
    });
  });

  describe('limits', () => {
    let clock: FakeClock;
    beforeEach(() => (clock = new FakeClock()));
    const passed = (ms: number) => {
      for (let step = 0; step < ms; step += 1_000) clock.advance(1_000);
    };

    it('closes a connection that sends nothing', async () => {
      const client = await connect(await start({ clock }));
      await eventually('1 connection', () => running[0]!.listener.connectionCount === 1);
      passed(599_000);
      expect(client.isClosed).toBe(false);
      passed(2_000);
      await client.closed;
    });

    it('does not take a request that waits for an idle connection', async () => {
      const desk = new Desk<HeartbeatResponse>();
      const client = await connect(
        await start({ clock, handlers: [heartbeats((_request, context) => desk.receive(context))] }),
      );
      const answer = client.request(heartbeat, 4, beat());
      await desk.until(1);
      passed(700_000);
      desk.answer(0, beaten(1));
      expect(await answer).toEqual(beaten(1));
    });

    it('closes a connection whose request does not arrive whole in time', async () => {
      const server = await start({ clock });
      const client = await connect(server);
      client.write(Buffer.from([0, 0, 0, 50, 1, 2, 3]));
      await eventually(
        'the bytes have arrived',
        async () => (await server.read('kafscale_in_flight_request_bytes')) === 7,
      );
      passed(15_000);
      client.write(Buffer.from([4]));
      await eventually(
        'the bytes have arrived',
        async () => (await server.read('kafscale_in_flight_request_bytes')) === 8,
      );
      passed(20_000);
      await client.closed;
      await eventually(
        'the reason is counted',
        async () => (await server.read('kafscale_connections_closed_total{reason="frame-deadline"}')) === 1,
      );
    });

    it('closes a connection that takes none of its answers', async () => {
      const chunk = Buffer.alloc(MiB);
      const server = await start({
        clock,
        handlers: [
          defineHandler({
            api: fetch,
            fail: () => fetched([]),
            handle: () => fetched(Array.from({ length: 32 }, () => chunk)),
          }),
        ],
      });
      const client = await connect(server);
      client.pause();
      client.send(fetch, 11, fetching);
      await eventually('bytes are sent', async () => (await server.read('kafscale_network_sent_bytes_total'))! > MiB);
      passed(130_000);
      await eventually(
        'the reason is counted',
        async () => (await server.read('kafscale_connections_closed_total{reason="write-stall"}')) === 1,
      );
    });

    it('closes connections above the number for one address, and takes new ones when some end', async () => {
      const server = await start({ config: { maxConnectionsPerIp: 2 } });
      const [first] = [await connect(server), await connect(server)];
      await eventually('2 connections', () => server.listener.connectionCount === 2);
      await (
        await connect(server)
      ).closed;
      await first.close();
      await eventually('1 connection', () => server.listener.connectionCount === 1);
      await (await connect(server)).request(apiVersions, 0, { clientSoftwareName: '', clientSoftwareVersion: '' });
    });

    it('lets connections that come too fast wait for their turn', async () => {
      const server = await start({ clock, config: { maxConnectionsPerSecond: 2 } });
      const arrived = await Promise.all([connect(server), connect(server), connect(server)]);
      const answers = arrived.map((client) =>
        client.request(apiVersions, 0, { clientSoftwareName: '', clientSoftwareVersion: '' }),
      );
      await eventually(
        'two connections are started',
        async () => (await server.read('kafscale_connections_opened_total')) === 2,
      );
      clock.advance(600);
      expect(await Promise.all(answers)).toHaveLength(3);
    });

    it('stops reading from who holds much when requests in work hold too much, and goes on afterwards', async () => {
      const desk = new Desk<ProduceResponse>();
      const server = await start({
        handlers: [produces((_request, context) => desk.receive(context)), heartbeats(() => beaten(7))],
        maxInFlightBytes: MiB,
      });
      const greedy = await connect(server);
      const answers = Array.from({ length: 40 }, () => greedy.request(produce, 9, records(Buffer.alloc(300_000))));
      await desk.until(4);
      const honest = await connect(server);
      for (let round = 0; round < 20; round += 1) expect(await honest.request(heartbeat, 4, beat())).toEqual(beaten(7));
      expect(desk.contexts.length).toBeLessThan(40);
      for (let answered = 0; answered < 40; answered += 1) {
        await desk.until(Math.min(40, answered + 1));
        desk.answer(answered, produced);
        await Promise.resolve();
      }
      expect(await Promise.all(answers)).toHaveLength(40);
      expect(await server.read('kafscale_in_flight_request_bytes')).toBe(0);
    });

    it('lets half-read requests finish one after another when they alone fill the memory', async () => {
      const server = await start({
        handlers: [produces((request) => ({ ...produced, throttleTimeMs: firstRecords(request).length }))],
        maxInFlightBytes: MiB,
      });
      const size = 900_000;
      const senders = await Promise.all([connect(server), connect(server), connect(server), connect(server)]);
      const frames = senders.map((client) => client.encode(produce, 9, records(Buffer.alloc(size))));
      for (const [index, client] of senders.entries()) client.write(frames[index]!.subarray(0, 600_000));
      await eventually(
        'the bytes have arrived',
        async () => (await server.read('kafscale_in_flight_request_bytes'))! > MiB,
      );
      for (const [index, client] of senders.entries()) client.write(frames[index]!.subarray(600_000));
      await Promise.all(senders.map((client) => client.nextFrame()));
      expect(await server.read('kafscale_in_flight_request_bytes')).toBe(0);
    });

    it('gives all memory back when connections end in the middle of frames', async () => {
      const server = await start();
      const senders = await Promise.all([connect(server), connect(server), connect(server)]);
      const frame = senders[0].encode(produce, 9, records(Buffer.alloc(2 * MiB)));
      for (const client of senders) client.write(frame.subarray(0, MiB));
      await eventually(
        'the bytes have arrived',
        async () => (await server.read('kafscale_in_flight_request_bytes')) === 3 * MiB,
      );
      await Promise.all(senders.map((client) => client.close()));
      await eventually(
        'the bytes are given back',
        async () => (await server.read('kafscale_in_flight_request_bytes')) === 0,
      );
    });

    it('commits no memory for a length that was only declared', async () => {
      const server = await start();
      const senders = await Promise.all(Array.from({ length: 20 }, () => connect(server)));
      for (const client of senders) client.write(Buffer.from([0x06, 0x00, 0x00, 0x00, 0, 0]));
      await eventually(
        'the bytes have arrived',
        async () => (await server.read('kafscale_in_flight_request_bytes')) === 120,
      );
      expect(await server.read('kafscale_request_memory_bytes')).toBeLessThanOrEqual(20 * 65_536);
    });
  });

  describe('close', () => {
    it('lets requests in work finish and then ends the connections', async () => {
      const desk = new Desk<HeartbeatResponse>();
      const server = await start({ handlers: [heartbeats((_request, context) => desk.receive(context))] });
      const busy = await connect(server);
      const idle = await connect(server);
      const answer = busy.request(heartbeat, 4, beat());
      await desk.until(1);
      const closing = server.listener.close();
      await idle.closed;
      expect(desk.contexts[0]!.signal.aborted).toBe(true);
      desk.answer(0, beaten(3));
      expect(await answer).toEqual(beaten(3));
      await busy.closed;
      await closing;
      await expect(RawClient.connect({ port: server.port })).rejects.toThrow('ECONNREFUSED');
    });

    it('gives up requests that do not finish in time', async () => {
      const clock = new FakeClock();
      const desk = new Desk<HeartbeatResponse>();
      const server = await start({ clock, handlers: [heartbeats((_request, context) => desk.receive(context))] });
      const client = await connect(server);
      const answer = client.request(heartbeat, 4, beat());
      await desk.until(1);
      const closing = server.listener.close();
      clock.advance(30_000);
      await expect(answer).rejects.toThrow(ConnectionClosed);
      await closing;
    });

    it('leaves nothing of itself in the metrics, which live longer', async () => {
      const server = await start();
      await connect(server);
      expect(await server.read('kafscale_connections')).toBe(1);
      await server.listener.close();
      expect(await server.read('kafscale_connections')).toBe(0);
      // Of the listener that comes next, say.
      const { connections, inFlightRequestBytes, produceRps } = server.metrics;
      for (const gauge of [connections, inFlightRequestBytes, produceRps]) gauge.set(7);
      const names = ['kafscale_connections', 'kafscale_in_flight_request_bytes', 'kafscale_produce_rps'];
      for (const name of names) expect(await server.read(name)).toBe(7);
    });
  });

  it('rejects when its address is taken', async () => {
    const { port } = await start();
    await expect(start({ config: { kafkaAddress: { host: '127.0.0.1', port } } })).rejects.toThrow('EADDRINUSE');
  });
});

const fetching: RequestOf<typeof fetch> = {
  clusterId: null,
  replicaId: -1,
  replicaState: { replicaId: -1, replicaEpoch: -1n },
  maxWaitMs: 0,
  minBytes: 1,
  maxBytes: 2 ** 30,
  isolationLevel: 0,
  sessionId: 0,
  sessionEpoch: -1,
  topics: [],
  forgottenTopicsData: [],
  rackId: '',
};

const fetched = (slices: readonly Uint8Array[]): ResponseOf<typeof fetch> => ({
  throttleTimeMs: 0,
  errorCode: ErrorCode.NONE,
  sessionId: 0,
  nodeEndpoints: [],
  responses: [
    {
      topic: 't',
      topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
      partitions: [
        {
          partitionIndex: 0,
          errorCode: ErrorCode.NONE,
          highWatermark: 0,
          lastStableOffset: 0,
          logStartOffset: 0,
          abortedTransactions: [],
          preferredReadReplica: -1,
          divergingEpoch: { epoch: -1, endOffset: -1 },
          currentLeader: { leaderId: -1, leaderEpoch: -1 },
          snapshotId: { endOffset: -1, epoch: -1 },
          records: slices,
        },
      ],
    },
  ],
});
