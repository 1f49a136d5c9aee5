/** DescribeUserScramCredentials v0: no user has any. */
import { describeUserScramCredentials, ErrorCode, KafkaError, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { duplicates, failure } from './outcome.ts';

type Result = ResponseOf<typeof describeUserScramCredentials>['results'][number];

export const describeUserScramCredentialsHandler = defineHandler({
  api: describeUserScramCredentials,
  fail: (code) => ({ throttleTimeMs: 0, errorCode: code, errorMessage: new KafkaError(code).message, results: [] }),
  handle({ users }) {
    const names = (users ?? []).map(({ name }) => name);
    const repeated = duplicates(names);
    const results = Array.from(new Set(names), (user): Result => {
      return { user, ...failure(repeated.has(user) ? namedTwice(user) : unknownUser(user)), credentialInfos: [] };
    });
    return { throttleTimeMs: 0, errorCode: ErrorCode.NONE, errorMessage: null, results };
  },
});

const namedTwice = (user: string) =>
  new KafkaError(
    ErrorCode.DUPLICATE_RESOURCE,
    `Cannot describe SCRAM credentials for the same user twice in a single request: ${user}`,
  );

const unknownUser = (user: string) =>
  new KafkaError(ErrorCode.RESOURCE_NOT_FOUND, `Attempt to describe a user credential that does not exist: ${user}`);
