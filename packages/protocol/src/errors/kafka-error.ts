// The error that answers a client: a code of the protocol, with a text for people and the cause for the log.

import { describeError, type ErrorCode, type ErrorName } from './error-codes.ts';

/** Thrown where a request, or one partition of it, is to be answered with an error code. */
export class KafkaError extends Error {
  readonly code: ErrorCode;

  /** `message` defaults to the text of the table; `cause` is logged, never sent. */
  constructor(code: ErrorCode, message: string = describeError(code).message, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'KafkaError';
    this.code = code;
  }

  /** The name Kafka gives the code, such as `NOT_COORDINATOR`. */
  get codeName(): ErrorName {
    return describeError(this.code).name;
  }

  /** Whether Kafka's own client sends the request again by itself. */
  get retriable(): boolean {
    return describeError(this.code).retriable;
  }
}
