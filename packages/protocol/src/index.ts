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
