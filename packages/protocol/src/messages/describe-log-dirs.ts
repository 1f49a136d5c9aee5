import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int32, int64, nullable, offset, string, struct } from '../wire/fields.ts';

/**
 * DescribeLogDirs: sizes of logs (KIP-113). v3 adds the error of the whole request, v4 the volume's size (KIP-827),
 * v5 cordoned folders (KIP-1066).
 */
export const describeLogDirs = defineApi({
  key: 35,
  name: 'DescribeLogDirs',
  versions: [0, 5],
  flexibleFrom: 2,
  request: struct({
    topics: nullable(array(struct({ topic: string(), partitions: array(int32()) }))),
  }),
  response: struct({
    throttleTimeMs: int32(),
    errorCode: errorCode().since(3, 0),
    results: array(
      struct({
        errorCode: errorCode(),
        logDir: string(),
        topics: array(
          struct({
            name: string(),
            partitions: array(
              struct({
                partitionIndex: int32(),
                partitionSize: int64(),
                offsetLag: offset(),
                isFutureKey: boolean(),
              }),
            ),
          }),
        ),
        totalBytes: int64().since(4, -1n),
        usableBytes: int64().since(4, -1n),
        isCordoned: boolean().since(5, false),
      }),
    ),
  }),
});
