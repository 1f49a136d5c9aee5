// A frame is what travels: four bytes of length, a header, a message. Writing one never copies record bytes.

import { DecodeError } from '../errors/decode-error.ts';
import type { Api } from './define-api.ts';
import { writeRequestHeader, writeResponseHeader, type RequestHeader } from './headers.ts';
import type { Encoded, Writer } from './writer.ts';

/** Bytes of the length in front of a frame. */
export const framePrefixBytes = 4;

/**
 * The length of the frame whose prefix starts at `at`, without the prefix. Throws DecodeError when it is negative or above
 * `maxBytes`, before anything was allocated for it.
 */
export function frameLength(bytes: Buffer, at: number, maxBytes: number): number {
  const length = bytes.readInt32BE(at);
  if (length < 0 || length > maxBytes) {
    throw new DecodeError(`a frame of ${length} bytes, where 0 to ${maxBytes} are allowed`);
  }
  return length;
}

/** A whole response: prefix, header, body. Throws as `Codec.write` does; the writer is then ready for the next message. */
export function encodeResponse<Response>(
  writer: Writer,
  api: Api<unknown, Response>,
  version: number,
  correlationId: number,
  response: Response,
): Encoded {
  return framed(writer, () => {
    writeResponseHeader(writer, api, version, correlationId);
    api.response.write(writer, response, version);
  });
}

/** A whole request: prefix, header, body. */
export function encodeRequest<Request>(
  writer: Writer,
  api: Api<Request, unknown>,
  header: Omit<RequestHeader, 'apiKey'>,
  request: Request,
): Encoded {
  return framed(writer, () => {
    writeRequestHeader(writer, api, header);
    api.request.write(writer, request, header.apiVersion);
  });
}

function framed(writer: Writer, write: () => void): Encoded {
  try {
    writer.int32(0);
    write();
    const encoded = writer.finish();
    const prefix = encoded.chunks[0] as Buffer;
    prefix.writeInt32BE(encoded.byteLength - framePrefixBytes, 0);
    return encoded;
  } catch (error) {
    writer.discard();
    throw error;
  }
}
