// The headers in front of every message (KIP-482 gave them a flexible form). Two exceptions live here: the client id keeps its
// 2-byte length in the flexible request header, and the response header of ApiVersions is never flexible (KIP-511), because the
// client does not know yet what the broker speaks.

import type { Api } from './define-api.ts';
import type { Reader } from './reader.ts';
import type { Writer } from './writer.ts';

export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string | null;
}

type ApiVersioning = Pick<Api<unknown, unknown>, 'key' | 'flexibleFrom'>;

const apiVersionsKey = 18;
const isFlexible = ({ flexibleFrom }: ApiVersioning, version: number) =>
  flexibleFrom !== null && version >= flexibleFrom;

/** 1, or 2 with tagged fields. A version above those of the API counts as flexible, as ApiVersions needs to refuse it politely. */
export const requestHeaderVersion = (api: ApiVersioning, version: number): 1 | 2 => (isFlexible(api, version) ? 2 : 1);

/** 0, or 1 with tagged fields. */
export const responseHeaderVersion = (api: ApiVersioning, version: number): 0 | 1 =>
  api.key !== apiVersionsKey && isFlexible(api, version) ? 1 : 0;

/**
 * Reads the header of a request and leaves the reader at its body. `findApi` answers undefined for a key that is not served; the
 * header is then read no further than the key and the result is undefined too. Throws DecodeError.
 */
export function readRequestHeader<A extends ApiVersioning>(
  reader: Reader,
  findApi: (apiKey: number) => A | undefined,
): { readonly header: RequestHeader; readonly api: A } | undefined {
  const apiKey = reader.int16('apiKey');
  const apiVersion = reader.int16('apiVersion');
  const api = findApi(apiKey);
  if (api === undefined) return undefined;
  const correlationId = reader.int32('correlationId');
  const clientId = reader.nullableString('clientId');
  if (requestHeaderVersion(api, apiVersion) === 2) reader.skipTaggedFields('request header');
  return { header: { apiKey, apiVersion, correlationId, clientId }, api };
}

export function writeRequestHeader(writer: Writer, api: ApiVersioning, header: Omit<RequestHeader, 'apiKey'>): void {
  writer.int16(api.key);
  writer.int16(header.apiVersion);
  writer.int32(header.correlationId);
  writer.nullableString(header.clientId);
  if (requestHeaderVersion(api, header.apiVersion) === 2) writer.unsignedVarint(0);
}

/** Reads the header of a response to a request of `version`; answers its correlation id. Throws DecodeError. */
export function readResponseHeader(reader: Reader, api: ApiVersioning, version: number): number {
  const correlationId = reader.int32('correlationId');
  if (responseHeaderVersion(api, version) === 1) reader.skipTaggedFields('response header');
  return correlationId;
}

export function writeResponseHeader(writer: Writer, api: ApiVersioning, version: number, correlationId: number): void {
  writer.int32(correlationId);
  if (responseHeaderVersion(api, version) === 1) writer.unsignedVarint(0);
}
