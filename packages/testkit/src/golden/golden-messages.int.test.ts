/** Messages serialized by Kafka's own generated classes: each decodes here, and encodes back to the same bytes. */
import {
  apis,
  Reader,
  readRequestHeader,
  readResponseHeader,
  Writer,
  writeRequestHeader,
  writeResponseHeader,
} from '@kafscale/protocol';
import { goldenMessages, type GoldenMessage } from './kafka-clients.ts';

const minutes = 60_000;

let messages: readonly GoldenMessage[] = [];
beforeAll(async () => {
  messages = await goldenMessages(apis);
}, 10 * minutes);

const cases = apis.flatMap((api) => {
  const [first, last] = api.versions;
  return Array.from({ length: last - first + 1 }, (_, index) => [api.name, first + index, api] as const);
});

const written = (write: (writer: Writer) => void) => {
  const writer = new Writer();
  write(writer);
  return Buffer.concat(writer.finish().chunks);
};

describe.each(cases)('%s v%i', (_, version, api) => {
  const golden = (kind: GoldenMessage['kind']) =>
    messages.filter((message) => message.apiKey === api.key && message.version === version && message.kind === kind);

  it.each(['request', 'response'] as const)('reads and writes the %s as Kafka does', (direction) => {
    const found = golden(direction);
    expect(found.length).toBeGreaterThanOrEqual(8);
    for (const { bytes } of found) {
      const message = api[direction].decode(bytes, version);
      expect(api[direction].encode(message, version).toString('hex')).toBe(bytes.toString('hex'));
    }
  });

  it('reads and writes the headers as Kafka does', () => {
    const requests = golden('requestHeader');
    expect(requests.length).toBeGreaterThan(0);
    for (const { bytes } of requests) {
      const reader = new Reader(bytes);
      const header = readRequestHeader(reader, () => api)!.header;
      reader.expectEnd('request header');
      expect(header).toEqual({
        apiKey: api.key,
        apiVersion: version,
        correlationId: 0x01020304,
        clientId: version % 2 === 0 ? 'clïent' : null,
      });
      expect(written((writer) => writeRequestHeader(writer, api, header))).toEqual(bytes);
    }
    const responses = golden('responseHeader');
    expect(responses.length).toBeGreaterThan(0);
    for (const { bytes } of responses) {
      const reader = new Reader(bytes);
      expect(readResponseHeader(reader, api, version)).toBe(0x01020304);
      reader.expectEnd('response header');
      expect(written((writer) => writeResponseHeader(writer, api, version, 0x01020304))).toEqual(bytes);
    }
  });
});
