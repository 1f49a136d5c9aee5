import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, nullable, nullableSince, string, struct, uuid, zeroUuid } from '../wire/fields.ts';

/**
 * DeleteTopics: removes topics, by name up to v5, by name or id from v6 on (KIP-516). v5 adds a message to the error
 * (KIP-599).
 */
export const deleteTopics = defineApi({
  key: 20,
  name: 'DeleteTopics',
  versions: [0, 6],
  flexibleFrom: 4,
  request: struct({
    topics: array(struct({ name: nullable(string()), topicId: uuid() })).since(6, []),
    topicNames: array(string()).until(6, []),
    timeoutMs: int32(),
  }),
  response: struct({
    throttleTimeMs: int32().since(1, 0),
    responses: array(
      struct({
        name: nullableSince(6, string()),
        topicId: uuid().since(6, zeroUuid),
        errorCode: errorCode(),
        errorMessage: nullable(string()).since(5, null),
      }),
    ),
  }),
});
