/** DeleteAcls v0-3: there is no authorizer that would have any (SECURITY_DISABLED). */
import { deleteAcls, KafkaError, type RequestOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { noAuthorizer } from './describe-acls.ts';
import { failure } from './outcome.ts';

export const deleteAclsHandler = defineHandler({
  api: deleteAcls,
  fail: (code, request) => answer(request, new KafkaError(code)),
  handle: (request) => answer(request, noAuthorizer),
});

const answer = ({ filters }: RequestOf<typeof deleteAcls>, error: KafkaError) => ({
  throttleTimeMs: 0,
  filterResults: filters.map(() => ({ ...failure(error), matchingAcls: [] })),
});
