/** The requests that wait for their answer: each gets exactly one, if not from its group then when its shard closes. */
import type { ErrorCode } from '@kafscale/protocol';
import { refusedAnswer } from './classic/group-change.ts';
import type { GroupAnswer, RequestId } from './classic/group-model.ts';

interface ParkedRequest {
  /** What it is answered with when it is refused, but for the error code. */
  readonly refusal: GroupAnswer;
  readonly answer: (answer: GroupAnswer) => void;
}

export class ParkedRequests {
  readonly #limit: number;
  readonly #parked = new Map<RequestId, ParkedRequest>();
  #lastRequest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get full(): boolean {
    return this.#parked.size >= this.#limit;
  }

  /** `answer` is called once, in the moment the answer is given. */
  park<Answer extends GroupAnswer>(refusal: Answer, answer: (answer: Answer) => void): RequestId {
    this.#lastRequest += 1;
    // An event is only ever answered with the answer of its own type.
    this.#parked.set(this.#lastRequest, { refusal, answer: answer as (answer: GroupAnswer) => void });
    return this.#lastRequest;
  }

  answer(requestId: RequestId, answer: GroupAnswer): void {
    const request = this.#parked.get(requestId);
    if (request === undefined) return; // its shard closed, and refused it
    this.#parked.delete(requestId);
    request.answer(answer);
  }

  refuseAll(errorCode: ErrorCode): void {
    for (const [requestId, { refusal }] of this.#parked) this.answer(requestId, refusedAnswer(refusal, errorCode));
  }
}
