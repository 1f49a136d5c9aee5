/** DescribeClientQuotas v0-1: there are no quotas, so none match. */
import { describeClientQuotas, ErrorCode, KafkaError } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const describeClientQuotasHandler = defineHandler({
  api: describeClientQuotas,
  fail: (code) => ({ throttleTimeMs: 0, errorCode: code, errorMessage: new KafkaError(code).message, entries: null }),
  handle: () => ({ throttleTimeMs: 0, errorCode: ErrorCode.NONE, errorMessage: null, entries: [] }),
});
