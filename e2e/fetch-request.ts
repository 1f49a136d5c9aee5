/** The Fetch that scenarios send: one partition, at once, outside of any session. */
import type { fetch, RequestOf } from '@kafscale/protocol';

export const fetchVersion = 11;

/** For `fetchVersion`. What it does not mention has the value that means nothing. */
export function fetchRequest({
  topic,
  partition,
  fetchOffset,
  maxBytes,
}: {
  readonly topic: string;
  readonly partition: number;
  readonly fetchOffset: number;
  readonly maxBytes: number;
}): RequestOf<typeof fetch> {
  return {
    clusterId: null,
    replicaId: -1,
    replicaState: { replicaId: -1, replicaEpoch: -1n },
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes,
    isolationLevel: 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [
      {
        topic,
        topicId: '',
        partitions: [
          {
            partition,
            currentLeaderEpoch: -1,
            fetchOffset,
            lastFetchedEpoch: -1,
            logStartOffset: -1,
            partitionMaxBytes: maxBytes,
            replicaDirectoryId: '',
            highWatermark: 0,
          },
        ],
      },
    ],
    forgottenTopicsData: [],
    rackId: '',
  };
}
