/** CreatePartitions v0-3: more partitions for topics. Assignments are checked and not acted on. */
import { createPartitions, ErrorCode, KafkaError, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { duplicates, failure, outcomeOf, type Outcome } from './outcome.ts';

type Result = ResponseOf<typeof createPartitions>['results'][number];

export const createPartitionsHandler = defineHandler({
  api: createPartitions,
  fail: (code, { topics }) => answer(topics.map(({ name }) => result(name, failure(new KafkaError(code))))),
  async handle({ topics: asked, timeoutMs, validateOnly }, { signal }, { topics }) {
    const repeated = duplicates(asked.map(({ name }) => name));
    const results = await Promise.all(
      asked
        .filter(({ name }) => !repeated.has(name))
        .map(async (growth) => {
          const outcome = await outcomeOf(() => topics.grow(growth, { timeoutMs, validateOnly, signal }));
          return result(growth.name, outcome);
        }),
    );
    const duplicate = { errorCode: ErrorCode.INVALID_REQUEST, errorMessage: 'Duplicate topic name.' };
    return answer([...results, ...Array.from(repeated, (name) => result(name, duplicate))]);
  },
});

const answer = (results: Result[]) => ({ throttleTimeMs: 0, results });
const result = (name: string, outcome: Outcome): Result => ({ name, ...outcome });
