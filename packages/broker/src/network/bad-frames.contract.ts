/**
 * Bytes that no honest client sends, and the exact answer to each: what concerns frames, headers and decoding, whatever APIs are
 * behind it. RELIABILITY's catalogue of bad input is the source; the bodies are bad on the wire, not in meaning.
 */
import { apiVersions, ErrorCode, findCoordinator, heartbeat, produce, saslHandshake } from '@kafscale/protocol';
import { seededRandom, systemClock } from '@kafscale/runtime';
import { eventually, RawClient } from '@kafscale/testkit';

/** What the listener under test was started with. */
export interface BadFramesTarget {
  readonly port: number;
  readonly maxRequestBytes: number;
  /** Frame deadline of less than a second, so that the slow rows end. */
  readonly frameDeadlineMs: number;
}

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text16 = (text: string): Buffer => Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)]);

/** Header of a request, version 1 or, for flexible versions, 2. */
const header = (apiKey: number, version: number, isFlexible = false): Buffer =>
  Buffer.concat([int16(apiKey), int16(version), int32(77), text16('bad'), Buffer.alloc(isFlexible ? 1 : 0)]);

const framed = (...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([int32(body.length), body]);
};

const varintOfSixBytes = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
const hugeVarint = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x07]);

/** Heartbeat v4, flexible: groupId, generationId, memberId, groupInstanceId, tags. */
const heartbeatBody = (groupId: Buffer, tags: Buffer = Buffer.from([0])): Buffer =>
  Buffer.concat([groupId, int32(1), Buffer.from([2, 0x6d, 0]), tags]);
const compactG = Buffer.from([2, 0x67]);
const flexibleHeartbeat = (body: Buffer): Buffer => framed(header(heartbeat.key, 4, true), body);

/** Rows that are answered with a closed connection and nothing else. */
const closing: readonly (readonly [name: string, bytes: (target: BadFramesTarget) => Buffer])[] = [
  ['a negative length', () => int32(-1)],
  ['the smallest length', () => int32(-0x8000_0000)],
  ['a length just above the limit', ({ maxRequestBytes }) => int32(maxRequestBytes + 1)],
  ['the largest length', () => int32(0x7fff_ffff)],
  ['a TLS hello', () => Buffer.from('16030102000100', 'hex')],
  ['an HTTP request', () => Buffer.from('GET / HTTP/1.1\r\nHost: kafka\r\n\r\n')],
  ['an empty request', () => int32(0)],
  ['a request of one byte', () => framed(Buffer.from([0]))],
  ['a request shorter than its header', () => framed(Buffer.from([0, 12, 0, 4, 0]))],
  ['a header without a client id', () => framed(int16(heartbeat.key), int16(0), int32(1))],
  ['a client id longer than the request', () => framed(int16(heartbeat.key), int16(0), int32(1), int16(0x7fff))],
  ['a client id of length -2', () => framed(int16(heartbeat.key), int16(0), int32(1), int16(-2))],
  [
    'a client id that is not UTF-8',
    () => framed(int16(heartbeat.key), int16(0), int32(1), int16(2), Buffer.from([0xc3, 0x28])),
  ],
  ['an unknown API key', () => framed(header(9_999, 0))],
  ['a negative API key', () => framed(header(-1, 0))],
  ['an API between brokers', () => framed(header(4, 0), Buffer.alloc(32))],
  ['a version that is too new', () => framed(header(heartbeat.key, 99), Buffer.alloc(32))],
  ['a negative version', () => framed(header(heartbeat.key, -1), Buffer.alloc(32))],
  ['a body that ends in the middle', () => framed(header(heartbeat.key, 0), text16('group'), int16(0))],
  ['no body at all', () => framed(header(heartbeat.key, 0))],
  ['a string longer than the request', () => framed(header(heartbeat.key, 0), int16(0x7fff), Buffer.alloc(8))],
  ['a string of length -2', () => framed(header(heartbeat.key, 0), int16(-2), Buffer.alloc(8))],
  ['null where there is none', () => framed(header(heartbeat.key, 0), int16(-1), int32(1), text16('m'))],
  [
    'text that is not UTF-8',
    () => framed(header(heartbeat.key, 0), int16(2), Buffer.from([0xff, 0xfe]), int32(1), text16('m')),
  ],
  [
    'bytes behind the body',
    () => framed(header(heartbeat.key, 0), text16('g'), int32(1), text16('m'), Buffer.from('rubbish')),
  ],
  [
    'an array of 2^31 - 1 in a small request',
    () => framed(header(produce.key, 3), int16(-1), int16(1), int32(0), int32(0x7fff_ffff)),
  ],
  ['an array of length -2', () => framed(header(produce.key, 3), int16(-1), int16(1), int32(0), int32(-2))],
  ['a null array where there is none', () => framed(header(produce.key, 3), int16(-1), int16(1), int32(0), int32(-1))],
  ['a compact length of 0 where null is not allowed', () => flexibleHeartbeat(heartbeatBody(Buffer.from([0])))],
  ['a compact length above the request', () => flexibleHeartbeat(heartbeatBody(hugeVarint))],
  ['a varint of more than five bytes', () => flexibleHeartbeat(heartbeatBody(varintOfSixBytes))],
  ['a count of tagged fields without end', () => flexibleHeartbeat(heartbeatBody(compactG, hugeVarint))],
  ['a tagged field of huge size', () => flexibleHeartbeat(heartbeatBody(compactG, Buffer.from([1, 9, ...hugeVarint])))],
  ['a tagged field twice', () => flexibleHeartbeat(heartbeatBody(compactG, Buffer.from([2, 9, 0, 9, 0])))],
  ['tagged fields in falling order', () => flexibleHeartbeat(heartbeatBody(compactG, Buffer.from([2, 9, 0, 8, 0])))],
  ['rubbish in the tagged fields of the header', () => framed(header(heartbeat.key, 4), hugeVarint)],
];

/** Runs every row against the listener, while an honest client of it keeps getting right answers. */
export function describeBadFrames(start: () => Promise<BadFramesTarget>): void {
  describe('bad frames', () => {
    let target: BadFramesTarget;
    let honest: RawClient;
    const clients: RawClient[] = [];
    const connect = async (): Promise<RawClient> => {
      const client = await RawClient.connect({ port: target.port });
      clients.push(client);
      return client;
    };
    const askHonestly = async (): Promise<void> => {
      const { errorCode, apiKeys } = await honest.request(apiVersions, 0, software('', ''));
      expect({ errorCode, servesHeartbeat: apiKeys.some(({ apiKey }) => apiKey === heartbeat.key) }).toEqual({
        errorCode: ErrorCode.NONE,
        servesHeartbeat: true,
      });
    };

    beforeAll(async () => {
      target = await start();
      honest = await RawClient.connect({ port: target.port });
    });
    afterAll(() => honest.close());
    beforeEach(askHonestly);
    afterEach(async () => {
      await askHonestly();
      await Promise.all(clients.splice(0).map((client) => client.close()));
    });

    it.each(closing)('closes the connection on %s, without a word', async (_name, bytes) => {
      const client = await connect();
      client.write(bytes(target));
      await expect(client.nextFrame()).rejects.toThrow('connection closed');
    });

    it.each(closing)('closes on %s behind a good request, which it answers first', async (_name, bytes) => {
      const client = await connect();
      const answer = client.request(apiVersions, 0, software('', ''));
      await answer;
      client.write(bytes(target));
      await client.closed;
    });

    it('answers ApiVersions of a version that does not exist with version 0 and its own range, and goes on', async () => {
      const client = await connect();
      client.write(framed(header(apiVersions.key, 99, true), Buffer.from('whatever the future holds')));
      const frame = await client.nextFrame();
      expect(frame.readInt32BE(0)).toBe(77);
      expect(apiVersions.response.decode(frame.subarray(4), 0)).toMatchObject({
        errorCode: ErrorCode.UNSUPPORTED_VERSION,
        apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }],
      });
      expect((await client.request(apiVersions, 4, software('raw', '1'))).errorCode).toBe(ErrorCode.NONE);
    });

    it.each(['', ' ', '-a', 'a-', 'a b', 'ä', 'a\n', '.', 'a'.repeat(10_000).concat('_')])(
      'refuses the software name %j with INVALID_REQUEST and goes on',
      async (name) => {
        const client = await connect();
        expect(await client.request(apiVersions, 3, software(name, '1.0'))).toMatchObject({
          errorCode: ErrorCode.INVALID_REQUEST,
          apiKeys: [],
        });
        expect((await client.request(apiVersions, 3, software('a.b-c', '1.0-rc1'))).errorCode).toBe(ErrorCode.NONE);
      },
    );

    it('takes a null client id, and one of 32 767 bytes', async () => {
      const client = await connect();
      client.write(framed(int16(apiVersions.key), int16(0), int32(1), int16(-1)));
      expect((await client.nextFrame()).readInt32BE(0)).toBe(1);
      client.write(framed(int16(apiVersions.key), int16(0), int32(2), text16('\n'.repeat(32_767))));
      expect((await client.nextFrame()).readInt32BE(0)).toBe(2);
    });

    it('closes a connection that stops in the middle of a request', async () => {
      const half = await connect();
      half.write(Buffer.concat([int32(100), header(heartbeat.key, 0)]));
      const prefixOnly = await connect();
      prefixOnly.write(Buffer.from([0, 0]));
      await Promise.all([half.closed, prefixOnly.closed]);
    });

    it('closes connections that send a byte at a time', async () => {
      const slow = await Promise.all(Array.from({ length: 20 }, connect));
      for (const client of slow) client.write(int32(10_000));
      while (!slow.every((client) => client.isClosed)) {
        for (const client of slow) if (!client.isClosed) client.write(Buffer.from([0]));
        await askHonestly();
        await systemClock.sleep(20);
      }
    });

    it('serves others while many declare the largest request and send nothing of it', async () => {
      const greedy = await Promise.all(Array.from({ length: 100 }, connect));
      for (const client of greedy) client.write(int32(target.maxRequestBytes));
      for (let round = 0; round < 20; round += 1) await askHonestly();
      await Promise.all(greedy.map((client) => client.closed));
    });

    it('keeps a thousand requests of a client that does not read, and answers them in order once it does', async () => {
      const client = await connect();
      client.pause();
      for (let number = 0; number < 1_000; number += 1) client.send(apiVersions, 0, software('', ''));
      await askHonestly();
      client.resume();
      for (let number = 0; number < 1_000; number += 1)
        expect((await client.nextFrame()).readInt32BE(0)).toBe(number + 1);
    });

    it('survives clients that vanish in the middle of everything', async () => {
      for (let round = 0; round < 50; round += 1) {
        const client = await connect();
        for (let number = 0; number < 5; number += 1) client.send(apiVersions, 0, software('', ''));
        client.write(int32(5_000));
        await client.close();
      }
      await askHonestly();
    });

    it('survives random bytes, in frames and without', async () => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const random = seededRandom(seed);
      const keys = [apiVersions.key, findCoordinator.key, heartbeat.key, produce.key, saslHandshake.key];
      for (let round = 0; round < 300; round += 1) {
        const client = await connect();
        const noise = random.bytes(random.int(200));
        const key = keys[random.int(keys.length)]!;
        if (round % 3 === 0) client.write(noise);
        else client.write(framed(header(key, random.int(8), random.int(2) === 0), noise));
        if (round % 20 === 0) await askHonestly();
        await client.close();
      }
      await eventually(`an honest answer after seed ${seed}`, async () => {
        await askHonestly();
        return true;
      });
    });
  });
}

const software = (clientSoftwareName: string, clientSoftwareVersion: string) => ({
  clientSoftwareName,
  clientSoftwareVersion,
});
