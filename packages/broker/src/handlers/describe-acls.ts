/** DescribeAcls v0-3: there is no authorizer, so there are no ACLs (SECURITY_DISABLED). */
import { describeAcls, ErrorCode, KafkaError } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

/** What all requests about ACLs are answered with. */
export const noAuthorizer = new KafkaError(ErrorCode.SECURITY_DISABLED, 'No Authorizer is configured.');

export const describeAclsHandler = defineHandler({
  api: describeAcls,
  fail: (code) => failed(new KafkaError(code)),
  handle: () => failed(noAuthorizer),
});

const failed = ({ code, message }: KafkaError) => ({
  throttleTimeMs: 0,
  errorCode: code,
  errorMessage: message,
  resources: [],
});
