import { readFileSync } from 'node:fs';

import { DecodeError } from './decode-error.ts';
import { describeError, ErrorCode, errorDescriptions } from './error-codes.ts';
import { KafkaError } from './kafka-error.ts';
import { unreachable } from './unreachable.ts';

describe('the error table', () => {
  it('has every code from -1 to 133 exactly once', () => {
    expect(errorDescriptions.map(({ code }) => code)).toEqual(Array.from({ length: 135 }, (_, index) => index - 1));
  });

  it('agrees with kafka-clients 4.3.1 on every code, name and retriability', () => {
    const listing = readFileSync(new URL('./fixtures/kafka-clients-4.3.1-errors.txt', import.meta.url), 'utf8');
    const ours = errorDescriptions.map(({ code, name, retriable }) => `${code}|${name}|${retriable}\n`);
    expect(ours.join('')).toBe(listing);
  });

  it('gives Kafka’s numbers by name', () => {
    expect(ErrorCode.UNKNOWN_SERVER_ERROR).toBe(-1);
    expect(ErrorCode.NONE).toBe(0);
    expect(ErrorCode.NOT_LEADER_OR_FOLLOWER).toBe(6);
    expect(ErrorCode.INVALID_RECORD).toBe(87);
    expect(ErrorCode.SHARE_SESSION_LIMIT_REACHED).toBe(133);
  });

  it('describes a code, and knows nothing of one that Kafka lacks', () => {
    expect(describeError(2)).toMatchObject({ code: 2, name: 'CORRUPT_MESSAGE', retriable: true });
    expect(describeError(134 as number)).toBeUndefined();
  });

  it('has a sentence for every error', () => {
    for (const { message } of errorDescriptions) expect(message).toMatch(/^[A-Z].+\.$/);
  });
});

describe('KafkaError', () => {
  it('takes text, name and retriability from the table', () => {
    const error = new KafkaError(ErrorCode.NOT_COORDINATOR);
    expect(error.message).toBe('This broker is not the coordinator.');
    expect(error.codeName).toBe('NOT_COORDINATOR');
    expect(error.retriable).toBe(true);
  });

  it('keeps its own text and its cause', () => {
    const cause = new Error('disk');
    const error = new KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, 'cannot write', { cause });
    expect(error.message).toBe('cannot write');
    expect(error.cause).toBe(cause);
  });
});

describe('DecodeError', () => {
  it('carries its name, so that a log tells it from a fault of ours', () => {
    expect(new DecodeError('short').name).toBe('DecodeError');
  });
});

describe('unreachable', () => {
  it('throws when the types lied', () => {
    expect(() => unreachable('surprise' as never)).toThrow('surprise');
  });
});
