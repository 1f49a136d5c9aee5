export {
  decodeSegment,
  encodeSegment,
  groupShard,
  groupShards,
  groupShardsTopicId,
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
export { advertisedHostOf } from './config/advertised-host.ts';
export { controlProtoOptions, controlProtoPath, controlServices } from './control/proto-file.ts';
export type {
  AssignmentStatus,
  AssignmentUpdate,
  BrokerStatus,
  ControlPartition,
  DrainPartitionsRequest,
  DrainPartitionsResponse,
  MetricsAck,
  MetricsReport,
  ObjectStoreState,
  PartitionState,
  PartitionStatus,
  SetCordonRequest,
  TriggerFlushRequest,
  TriggerFlushResponse,
  WatchAssignmentsRequest,
} from './control/messages.ts';
export { flag, integer, list, listenAddress, oneOf, text, type ListenAddress } from './config/setting.ts';
export {
  decodeFlushFooter,
  decodeFlushTrailer,
  encodeFlushFooter,
  encodeFlushManifest,
  flushTrailerBytes,
  maxInlineManifestBytes,
} from './stored/flush-object.ts';
export {
  checkedFlushFooter,
  type ScannedExtent,
  type ScannedManifest,
  scanFlushDescription,
  scanManifest,
  scanShelf,
} from './stored/flush-scan.ts';
export {
  decodeFlushFooterOf,
  decodeManifestOf,
  decodeShelfOf,
  type WantedPartitions,
} from './stored/manifests-of-partitions.ts';
export {
  decodeIndexFooter,
  decodeIndexTrailer,
  decodeProducerSnapshot,
  decodeSegmentChunk,
  type IndexedPartition,
  IndexObjectBuilder,
  type IndexObjectOrigin,
  indexTrailerBytes,
} from './stored/index-object.ts';
export {
  defaultIndexInterval,
  encodeSegmentIndex,
  type IndexEntry,
  SegmentIndex,
  type SegmentIndexInput,
} from './stored/segment-index.ts';
export {
  type DecodedSegment,
  decodeSegmentObject,
  decodeSegmentFooter,
  decodeSegmentHeader,
  type EncodedSegment,
  encodeSegmentObject,
  type SegmentFooter,
  segmentFooterBytes,
  type SegmentHeader,
  segmentHeaderBytes,
  type SegmentInput,
} from './stored/segment-object.ts';
export { mayHoldPartition, summarizePartitions } from './stored/partition-summary.ts';
export {
  decodeShelf,
  decodeShelfTrailer,
  encodeShelf,
  encodeShelfOf,
  type EncodedShelf,
  shelfTrailerBytes,
} from './stored/shelf-object.ts';
export { type FooterPlace } from './stored/trailer.ts';
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
export {
  fieldsAt,
  nullableAt,
  zeroUuid,
  type Field,
  type FieldAtVersion,
  type FieldType,
  type StructValue,
} from './wire/fields.ts';
export { encodeRequest, encodeResponse, frameLength, framePrefixBytes } from './wire/frame.ts';
export {
  readRequestHeader,
  readResponseHeader,
  requestHeaderVersion,
  responseHeaderVersion,
  writeRequestHeader,
  writeResponseHeader,
  type RequestHeader,
} from './wire/headers.ts';
export { Reader } from './wire/reader.ts';
export { Writer, type Encoded } from './wire/writer.ts';
export { codecById, codecId, codecs, type CompressionCodec } from './records/codec.ts';
export { compressSync, decompress, decompressSync } from './records/compression.ts';
export { DecompressionError, type DecompressionFault } from './records/decompression-error.ts';
export {
  decodeEndTransactionMarker,
  encodeEndTransactionMarker,
  type EndTransactionMarker,
  type MarkerBatchInput,
  type MarkerType,
} from './records/control-record.ts';
export { crc32c, crc32cCombine, crc32cFallback, crc32cNative } from './records/crc32c.ts';
export { type BatchInput, encodeRecordBatch, type RecordInput } from './records/encode-batch.ts';
export { findMaxTimestampRecord, findRecordByTimestamp, type FoundRecord } from './records/find-record.ts';
export {
  batchEnd,
  batchOverheadBytes,
  type BatchRun,
  recordBatchHeaderBytes,
  RecordBatchView,
  splitBatches,
  type TimestampType,
} from './records/record-batch.ts';
export { readRecords, type RecordHeader, RecordView } from './records/record.ts';
export { trimBatch } from './records/trim-batch.ts';
export {
  type AcceptedBatch,
  type BatchRules,
  type BatchVerdict,
  type ProducedWith,
  type RecordError,
  type RefusedBatch,
  validateProducedBatch,
} from './records/validate-batch.ts';
export { ConfigType, ConfigValueError, splitList, type ConfigKind } from './config/config-kind.ts';
export { checkTopicConfigs, parseTopicConfig, type TopicConfig } from './config/topic-config.ts';
export {
  topicConfigDefinitions,
  type ConfigEffect,
  type TopicConfigDefinition,
  type TopicConfigName,
} from './config/topic-config-definitions.ts';
