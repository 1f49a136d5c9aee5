export {
  decodeSegment,
  encodeSegment,
  groupShard,
  groupShards,
  metadataKeys,
  metadataPrefixes,
  type LaneName,
} from './metadata/keys.ts';
export * as metadata from './metadata/generated/metadata/metadata.ts';
export { DecodeError } from './errors/decode-error.ts';
export {
  describeError,
  ErrorCode,
  errorDescriptions,
  type ErrorDescription,
  type ErrorName,
} from './errors/error-codes.ts';
export { KafkaError } from './errors/kafka-error.ts';
export { unreachable } from './errors/unreachable.ts';
export { brokerConfigSchema, brokerConfigSections, type BrokerConfig } from './config/broker-config.ts';
export { type ListenAddress } from './config/setting.ts';
export {
  decodeFlushFooter,
  decodeFlushTrailer,
  encodeFlushFooter,
  encodeFlushManifest,
  flushTrailerBytes,
  maxInlineManifestBytes,
} from './stored/flush-object.ts';
export {
  apis,
  alterClientQuotas,
  alterConfigs,
  alterPartitionReassignments,
  alterUserScramCredentials,
  apiVersions,
  createAcls,
  createPartitions,
  createTopics,
  deleteAcls,
  deleteGroups,
  deleteRecords,
  deleteTopics,
  describeAcls,
  describeClientQuotas,
  describeCluster,
  describeConfigs,
  describeGroups,
  describeLogDirs,
  describeTopicPartitions,
  describeUserScramCredentials,
  electLeaders,
  fetch,
  findCoordinator,
  heartbeat,
  incrementalAlterConfigs,
  initProducerId,
  joinGroup,
  leaveGroup,
  listGroups,
  listOffsets,
  listPartitionReassignments,
  metadataApi,
  offsetCommit,
  offsetDelete,
  offsetFetch,
  offsetForLeaderEpoch,
  produce,
  saslAuthenticate,
  saslHandshake,
  syncGroup,
} from './messages/index.ts';
export { defineApi, type Api, type Codec, type RequestOf, type ResponseOf } from './wire/define-api.ts';
export { zeroUuid } from './wire/fields.ts';
export { encodeRequest, encodeResponse, frameLength, framePrefixBytes } from './wire/frame.ts';
export { readRequestHeader, readResponseHeader, type RequestHeader } from './wire/headers.ts';
export { Reader } from './wire/reader.ts';
export { Writer, type Encoded } from './wire/writer.ts';
