/** AlterUserScramCredentials v0: nobody has credentials to delete, and without SASL nobody can be given any. */
import { alterUserScramCredentials, ErrorCode, KafkaError, type RequestOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { failure } from './outcome.ts';

type AlterRequest = RequestOf<typeof alterUserScramCredentials>;

const unknownUser = new KafkaError(
  ErrorCode.RESOURCE_NOT_FOUND,
  'Attempt to delete a user credential that does not exist',
);
const noSasl = new KafkaError(ErrorCode.UNSUPPORTED_SASL_MECHANISM, 'This broker does not offer SCRAM authentication.');

export const alterUserScramCredentialsHandler = defineHandler({
  api: alterUserScramCredentials,
  fail: (code, request) => answer(request, () => new KafkaError(code)),
  handle(request) {
    const given = new Set(request.upsertions.map(({ name }) => name));
    return answer(request, (user) => (given.has(user) ? noSasl : unknownUser));
  },
});

/** One result for each user, however often the request names it. */
function answer({ deletions, upsertions }: AlterRequest, errorOf: (user: string) => KafkaError) {
  const users = new Set([...deletions, ...upsertions].map(({ name }) => name));
  return { throttleTimeMs: 0, results: Array.from(users, (user) => ({ user, ...failure(errorOf(user)) })) };
}
