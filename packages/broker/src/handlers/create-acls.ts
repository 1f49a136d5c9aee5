/** CreateAcls v0-3: there is no authorizer that would keep them (SECURITY_DISABLED). */
import { createAcls, KafkaError } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';
import { noAuthorizer } from './describe-acls.ts';
import { failure } from './outcome.ts';

export const createAclsHandler = defineHandler({
  api: createAcls,
  fail: (code, { creations }) => ({ throttleTimeMs: 0, results: creations.map(() => failure(new KafkaError(code))) }),
  handle: ({ creations }) => ({ throttleTimeMs: 0, results: creations.map(() => failure(noAuthorizer)) }),
});
