/** What a client may do (KIP-430), as the bits of Kafka's operation codes. Without an authorizer everything that exists. */

/** Not asked for. */
export const operationsNotAsked = -0x80000000;

const bits = (...operations: readonly number[]) => operations.reduce((mask, operation) => mask | (1 << operation), 0);

const operation = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  alter: 7,
  describe: 8,
  clusterAction: 9,
  describeConfigs: 10,
  alterConfigs: 11,
  idempotentWrite: 12,
} as const;

export const topicOperations = bits(
  operation.read,
  operation.write,
  operation.create,
  operation.delete,
  operation.alter,
  operation.describe,
  operation.describeConfigs,
  operation.alterConfigs,
);

export const clusterOperations = bits(
  operation.create,
  operation.alter,
  operation.describe,
  operation.clusterAction,
  operation.describeConfigs,
  operation.alterConfigs,
  operation.idempotentWrite,
);
