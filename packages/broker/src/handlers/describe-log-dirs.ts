/**
 * DescribeLogDirs v0-5: the sizes of the partitions this broker owns, as if they lay in one folder, named like the place of the data.
 * The place has no size that would mean anything here, so it is left unknown.
 */
import { describeLogDirs, ErrorCode, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import type { PartitionLog } from '../log/partition-log.ts';
import { defineHandler } from './define-handler.ts';
import type { Services } from './services.ts';

type Result = ResponseOf<typeof describeLogDirs>['results'][number];
type Asked = RequestOf<typeof describeLogDirs>['topics'];

export const describeLogDirsHandler = defineHandler({
  api: describeLogDirs,
  fail: (errorCode) => ({ throttleTimeMs: 0, errorCode, results: [] }),
  handle({ topics }, _context, services) {
    const folder: Result = {
      errorCode: ErrorCode.NONE,
      logDir: services.config.dataDir,
      topics: byTopic(logsOf(topics, services)),
      totalBytes: -1n,
      usableBytes: -1n,
      isCordoned: false,
    };
    return { throttleTimeMs: 0, errorCode: ErrorCode.NONE, results: [folder] };
  },
});

/** The logs asked for that are here; null asks for all. */
function* logsOf(asked: Asked, { logs, image }: Services): Iterable<PartitionLog> {
  if (asked === null) {
    yield* logs.all();
    return;
  }
  for (const { topic: name, partitions } of asked) {
    const topic = image.topic(name);
    if (topic === undefined) continue;
    for (const partition of new Set(partitions)) {
      const log = logs.get(topic.topicId, partition);
      if (log !== undefined) yield log;
    }
  }
}

function byTopic(logs: Iterable<PartitionLog>): Result['topics'] {
  const topics = new Map<string, Result['topics'][number]['partitions'][number][]>();
  for (const { topicName, partition, sizeBytes } of logs) {
    const entry = { partitionIndex: partition, partitionSize: BigInt(sizeBytes), offsetLag: 0, isFutureKey: false };
    const partitions = topics.get(topicName);
    if (partitions === undefined) topics.set(topicName, [entry]);
    else partitions.push(entry);
  }
  return Array.from(topics, ([name, partitions]) => ({ name, partitions }));
}
