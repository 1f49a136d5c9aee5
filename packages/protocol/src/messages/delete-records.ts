import { defineApi } from '../wire/define-api.ts';
import { array, errorCode, int32, offset, string, struct } from '../wire/fields.ts';

/** DeleteRecords: moves the start of partitions (KIP-107). Offset -1 stands for the high watermark. */
export const deleteRecords = defineApi({
  key: 21,
  name: 'DeleteRecords',
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            offset: offset(), // -1 for the high watermark
          }),
        ),
      }),
    ),
    timeoutMs: int32(),
  }),
  response: struct({
    throttleTimeMs: int32(),
    topics: array(
      struct({
        name: string(),
        partitions: array(struct({ partitionIndex: int32(), lowWatermark: offset(), errorCode: errorCode() })),
      }),
    ),
  }),
});
