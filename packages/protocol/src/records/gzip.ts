// Gzip (RFC 1952), by Node's zlib, which stops at the limit by itself. Members laid end to end are read as one.

import { gunzip, gunzipSync, gzipSync, type InputType, type ZlibOptions } from 'node:zlib';
import { corrupt, type DecompressionError, tooLarge } from './decompression-error.ts';

/** What zlib answers when asked for `info`; its types do not know. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

const chunkSize = 64 * 1024;

export const compressGzip = (bytes: Uint8Array): Buffer => gzipSync(bytes);

export function decompressGzipSync(bytes: Uint8Array, maxBytes: number): Buffer {
  let inflated: Inflated;
  try {
    inflated = gunzipSync(bytes, options(maxBytes)) as unknown as Inflated;
  } catch (error) {
    throw refusal(error, maxBytes);
  }
  return whole(bytes, inflated, maxBytes);
}

export async function decompressGzip(bytes: Uint8Array, maxBytes: number): Promise<Buffer> {
  const inflated = await new Promise<Inflated>((resolve, reject) => {
    const done = (error: Error | null, result: unknown) =>
      error === null ? resolve(result as Inflated) : reject(refusal(error, maxBytes));
    (gunzip as (bytes: InputType, options: ZlibOptions, done: (error: Error | null, result: unknown) => void) => void)(
      bytes,
      options(maxBytes),
      done,
    );
  });
  return whole(bytes, inflated, maxBytes);
}

/** zlib takes no limit below one byte. */
const options = (maxBytes: number): ZlibOptions => ({ info: true, chunkSize, maxOutputLength: Math.max(maxBytes, 1) });

function whole(bytes: Uint8Array, { buffer, engine }: Inflated, maxBytes: number): Buffer {
  if (engine.bytesWritten !== bytes.length) throw corrupt('gzip', new Error('bytes follow the last member'));
  if (buffer.length > maxBytes) throw tooLarge('gzip', maxBytes);
  return buffer;
}

const refusal = (error: unknown, maxBytes: number): DecompressionError =>
  (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    ? tooLarge('gzip', maxBytes)
    : corrupt('gzip', error);
