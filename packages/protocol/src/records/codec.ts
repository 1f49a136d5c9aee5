// The compression codecs of record batches, by the names topic settings use and the numbers attributes carry.

const codecsById = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

export type CompressionCodec = (typeof codecsById)[number];

/** Every codec, in the order of their numbers. */
export const codecs: readonly CompressionCodec[] = codecsById;

/** The codec with this number in the attributes of a batch, or undefined: five to seven mean nothing. */
export const codecById = (id: number): CompressionCodec | undefined => codecsById[id];

export const codecId = (codec: CompressionCodec): number => codecsById.indexOf(codec);
