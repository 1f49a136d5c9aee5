import { DecodeError } from '../errors/decode-error.ts';
import { fetch, heartbeat, metadataApi } from '../messages/index.ts';
import { encodeRequest, encodeResponse, frameLength } from './frame.ts';
import { Writer } from './writer.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const heartbeatRequest = { groupId: 'g', generationId: 1, memberId: 'm', groupInstanceId: null };

describe('a frame', () => {
  it('starts with the length of what follows', () => {
    const { chunks, byteLength } = encodeResponse(new Writer(), heartbeat, 1, 9, { throttleTimeMs: 0, errorCode: 0 });
    expect(Buffer.concat(chunks)).toEqual(hex('0000000a 00000009 00000000 0000'));
    expect(byteLength).toBe(14);
  });

  it('carries a request with its header', () => {
    const header = { apiVersion: 0, correlationId: 9, clientId: null };
    const { chunks } = encodeRequest(new Writer(), heartbeat, header, heartbeatRequest);
    expect(Buffer.concat(chunks)).toEqual(hex('00000014 000c 0000 00000009 ffff 0001 67 00000001 0001 6d'));
  });

  it('points at record bytes instead of copying them', () => {
    const slice = Buffer.alloc(100_000, 7);
    const partition = {
      partitionIndex: 0,
      errorCode: 0,
      highWatermark: 1,
      lastStableOffset: 1,
      logStartOffset: 0,
      divergingEpoch: { epoch: -1, endOffset: -1 },
      currentLeader: { leaderId: -1, leaderEpoch: -1 },
      snapshotId: { epoch: -1, endOffset: -1 },
      abortedTransactions: null,
      preferredReadReplica: -1,
      records: [slice, slice],
    } as const;
    const response = {
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: 0,
      responses: [{ topic: 't', topicId: '', partitions: [partition] }],
      nodeEndpoints: [],
    } as const;
    const { chunks, byteLength } = encodeResponse(new Writer(), fetch, 12, 1, response);
    expect(chunks.filter((chunk) => chunk === slice)).toHaveLength(2);
    expect(byteLength).toBe(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    expect(frameLength(Buffer.concat(chunks), 0, byteLength)).toBe(byteLength - 4);
  });

  it('leaves no trace in the writer when its message cannot be encoded', () => {
    const writer = new Writer();
    const request = {
      topics: null,
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    };
    const header = { apiVersion: 0, correlationId: 1, clientId: 'x' };
    expect(() => encodeRequest(writer, metadataApi, header, request)).toThrow('topics must not be null');
    const { chunks } = encodeResponse(writer, heartbeat, 0, 9, { throttleTimeMs: 0, errorCode: 0 });
    expect(Buffer.concat(chunks)).toEqual(hex('00000006 00000009 0000'));
  });

  it.each(['ffffffff', '80000000', '00000011'])('is refused when its length is 0x%s', (text) => {
    expect(() => frameLength(hex(text), 0, 16)).toThrow(DecodeError);
  });

  it('may have any length up to the largest', () => {
    expect(frameLength(hex('ff00000010'), 1, 16)).toBe(16);
  });
});
