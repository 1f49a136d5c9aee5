/** AlterClientQuotas v0-1: refused, because nothing here would keep a client to a quota. */
import { alterClientQuotas, ErrorCode, KafkaError, type RequestOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { failure } from './outcome.ts';

const noQuotas = new KafkaError(ErrorCode.INVALID_REQUEST, 'Client quotas are not supported by this broker.');

export const alterClientQuotasHandler = defineHandler({
  api: alterClientQuotas,
  fail: (code, request) => answer(request, new KafkaError(code)),
  handle: (request) => answer(request, noQuotas),
});

const answer = ({ entries }: RequestOf<typeof alterClientQuotas>, error: KafkaError) => ({
  throttleTimeMs: 0,
  entries: entries.map(({ entity }) => ({ ...failure(error), entity })),
});
