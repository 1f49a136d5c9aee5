/**
 * DeleteTopics v0-6, by name and since v6 also by id. Each topic's partitions are taken out of service by their owners, behind the
 * last flush, before it goes; until then its name stays taken. A topic that is still on its way out when the time is over is
 * REQUEST_TIMED_OUT and goes all the same; deleting it again waits for that.
 */
import { deleteTopics, ErrorCode, KafkaError, zeroUuid, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { duplicates, failure, outcomeOf, type Outcome } from './outcome.ts';
import type { Services } from './services.ts';

type DeleteTopicsRequest = RequestOf<typeof deleteTopics>;
type Result = ResponseOf<typeof deleteTopics>['responses'][number];

/** A topic as the client names it: by name, by id (then the name is null), or wrongly by both or neither. */
interface Named {
  readonly name: string | null;
  readonly topicId: string;
}

export const deleteTopicsHandler = defineHandler({
  api: deleteTopics,
  fail: (code, request) => answer(namedIn(request).map((topic) => result(topic, failure(new KafkaError(code))))),
  async handle(request, { signal }, services) {
    const named = namedIn(request);
    const results: Result[] = [];
    const fail = (topic: Named, message: string) => {
      results.push(result(topic, { errorCode: ErrorCode.INVALID_REQUEST, errorMessage: message }));
    };

    const byName: string[] = [];
    const byId: string[] = [];
    for (const { name, topicId } of named) {
      if (name === null && topicId === zeroUuid) fail({ name, topicId }, 'Neither topic name nor id were specified.');
      else if (name !== null && topicId !== zeroUuid) {
        fail({ name, topicId }, 'You may not specify both topic name and topic id.');
      } else if (name !== null) byName.push(name);
      else byId.push(topicId);
    }
    const repeatedNames = duplicates(byName);
    for (const name of repeatedNames) fail({ name, topicId: zeroUuid }, 'Duplicate topic name.');
    const repeatedIds = duplicates(byId);
    for (const topicId of repeatedIds) fail({ name: null, topicId }, 'Duplicate topic id.');

    const options = { timeoutMs: request.timeoutMs, signal };
    const deletions = [
      ...byName.filter((name) => !repeatedNames.has(name)).map((name) => deleteByName(name, services.topics, options)),
      ...byId.filter((topicId) => !repeatedIds.has(topicId)).map((topicId) => deleteById(topicId, services, options)),
    ];
    return answer([...results, ...(await Promise.all(deletions))]);
  },
});

type Topics = Services['topics'];
type Options = Parameters<Topics['delete']>[1];

async function deleteByName(name: string, topics: Topics, options: Options): Promise<Result> {
  let topicId = zeroUuid;
  const outcome = await outcomeOf(async () => {
    topicId = await topics.delete({ name }, options);
  });
  return result({ name, topicId }, outcome);
}

async function deleteById(topicId: string, { topics, image }: Services, options: Options): Promise<Result> {
  const deleting = () => [...image.deletingTopics()].find((topic) => topic.topicId === topicId);
  const name = (image.topicById(topicId) ?? deleting())?.name;
  if (name === undefined) return result({ name: null, topicId }, failure(new KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)));
  const outcome = await outcomeOf(async () => {
    await topics.delete({ name, topicId }, options);
  });
  return result({ name, topicId }, outcome);
}

function namedIn({ topics, topicNames }: DeleteTopicsRequest): Named[] {
  return [...topics, ...topicNames.map((name) => ({ name, topicId: zeroUuid }))];
}

const answer = (responses: Result[]) => ({ throttleTimeMs: 0, responses });

/** Since the two must agree, a topic that was deleted by name is answered with its id too. */
const result = ({ name, topicId }: Named, outcome: Outcome): Result => ({ name, topicId, ...outcome });
