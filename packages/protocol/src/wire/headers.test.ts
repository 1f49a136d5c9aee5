import { DecodeError } from '../errors/decode-error.ts';
import { apiVersions, heartbeat, saslHandshake } from '../messages/index.ts';
import {
  readRequestHeader,
  readResponseHeader,
  requestHeaderVersion,
  responseHeaderVersion,
  writeRequestHeader,
  writeResponseHeader,
} from './headers.ts';
import { Reader } from './reader.ts';
import { Writer } from './writer.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const written = (write: (writer: Writer) => void) => {
  const writer = new Writer();
  write(writer);
  return Buffer.concat(writer.finish().chunks);
};

describe('message headers', () => {
  it('are flexible from the version on in which the API is', () => {
    expect([3, 4].map((version) => requestHeaderVersion(heartbeat, version))).toEqual([1, 2]);
    expect([3, 4].map((version) => responseHeaderVersion(heartbeat, version))).toEqual([0, 1]);
    expect(requestHeaderVersion(saslHandshake, 1)).toBe(1);
  });

  it('are never flexible in responses to ApiVersions', () => {
    expect([0, 3, 4, 99].map((version) => responseHeaderVersion(apiVersions, version))).toEqual([0, 0, 0, 0]);
    expect(requestHeaderVersion(apiVersions, 99)).toBe(2);
  });

  it('keep the 2-byte length of the client id', () => {
    const bytes = hex('000c 0004 00000007 0002 6d65 00');
    const header = { apiKey: 12, apiVersion: 4, correlationId: 7, clientId: 'me' };
    expect(written((writer) => writeRequestHeader(writer, heartbeat, header))).toEqual(bytes);
    expect(readRequestHeader(new Reader(bytes), () => heartbeat)).toEqual({ header, api: heartbeat });
  });

  it('leave the reader at the message', () => {
    const reader = new Reader(hex('ff 000c 0003 00000007 ffff abcd'), 1);
    expect(readRequestHeader(reader, () => heartbeat)?.header.clientId).toBeNull();
    expect(reader.remaining).toBe(2);
  });

  it('are read no further than the API where it is unknown', () => {
    expect(readRequestHeader(new Reader(hex('7fff 0000')), () => undefined)).toBeUndefined();
  });

  it('skip tagged fields', () => {
    const reader = new Reader(hex('000c 0004 00000007 ffff 01 05 02 aabb'));
    expect(readRequestHeader(reader, () => heartbeat)?.header.correlationId).toBe(7);
    expect(reader.remaining).toBe(0);
  });

  it.each([
    '000c',
    '000c 0004 0000',
    '000c 0004 00000007 0005 6d65',
    '000c 0004 00000007 fffe',
    '000c 0004 00000007 ffff',
  ])('refuse %s', (text) => {
    expect(() => readRequestHeader(new Reader(hex(text)), () => heartbeat)).toThrow(DecodeError);
  });

  it('carry the correlation id back', () => {
    for (const version of [3, 4]) {
      const bytes = written((writer) => writeResponseHeader(writer, heartbeat, version, -5));
      expect(bytes).toHaveLength(version === 3 ? 4 : 5);
      expect(readResponseHeader(new Reader(bytes), heartbeat, version)).toBe(-5);
    }
  });
});
