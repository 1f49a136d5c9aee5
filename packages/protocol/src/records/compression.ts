// Compression of record batches, over all codecs. Every decompression names a limit in bytes, which is kept before memory is
// spent: what would exceed it, does not follow its format or has bytes behind its end is a DecompressionError.

import { unreachable } from '../errors/unreachable.ts';
import type { CompressionCodec } from './codec.ts';
import { tooLarge } from './decompression-error.ts';
import { compressGzip, decompressGzip, decompressGzipSync } from './gzip.ts';
import { compressLz4, decompressLz4, decompressLz4Sync } from './lz4.ts';
import { compressSnappy, decompressSnappy, decompressSnappySync } from './snappy.ts';
import { compressZstd, decompressZstd, decompressZstdSync } from './zstd.ts';

/** Compresses on this thread, at the codec's default level; `none` gives a view of the same bytes. */
export function compressSync(codec: CompressionCodec, bytes: Uint8Array): Buffer {
  switch (codec) {
    case 'none':
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    case 'gzip':
      return compressGzip(bytes);
    case 'snappy':
      return compressSnappy(bytes);
    case 'lz4':
      return compressLz4(bytes);
    case 'zstd':
      return compressZstd(bytes);
    default:
      return unreachable(codec);
  }
}

/** Decompresses on this thread. Throws DecompressionError. */
export function decompressSync(codec: CompressionCodec, bytes: Buffer, maxBytes: number): Buffer {
  switch (codec) {
    case 'none':
      return within(bytes, maxBytes);
    case 'gzip':
      return decompressGzipSync(bytes, maxBytes);
    case 'snappy':
      return decompressSnappySync(bytes, maxBytes);
    case 'lz4':
      return decompressLz4Sync(bytes, maxBytes);
    case 'zstd':
      return decompressZstdSync(bytes, maxBytes);
    default:
      return unreachable(codec);
  }
}

/** Decompresses on a thread of the pool; the bytes must stay as they are until then. Rejects with DecompressionError. */
export async function decompress(codec: CompressionCodec, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  switch (codec) {
    case 'none':
      return within(bytes, maxBytes);
    case 'gzip':
      return decompressGzip(bytes, maxBytes);
    case 'snappy':
      return decompressSnappy(bytes, maxBytes);
    case 'lz4':
      return decompressLz4(bytes, maxBytes);
    case 'zstd':
      return decompressZstd(bytes, maxBytes);
    default:
      return unreachable(codec);
  }
}

function within(bytes: Buffer, maxBytes: number): Buffer {
  if (bytes.length > maxBytes) throw tooLarge('none', maxBytes);
  return bytes;
}
