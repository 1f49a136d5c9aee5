export { decodeSegment, encodeSegment, metadataKeys, metadataPrefixes, type LaneName } from './metadata/keys.ts';
export * as metadata from './metadata/generated/metadata/metadata.ts';
