/** How much memory, and room in a stored record, a member takes: an estimate that is never far below the truth. */
import type { GroupProtocol } from './group-model.ts';

const memberOverhead = 160;
const protocolOverhead = 24;

export function metadataBytes(member: {
  readonly clientId: string;
  readonly clientHost: string;
  readonly groupInstanceId: string | null;
  readonly protocols: readonly GroupProtocol[];
  readonly assignment?: Uint8Array;
}): number {
  const { clientId, clientHost, groupInstanceId, protocols, assignment } = member;
  let bytes = memberOverhead + textBytes(clientId) + textBytes(clientHost) + textBytes(groupInstanceId ?? '');
  for (const { name, metadata } of protocols) bytes += protocolOverhead + textBytes(name) + metadata.length;
  return bytes + (assignment?.length ?? 0);
}

/** No UTF-16 code unit takes more than three bytes of UTF-8; most take one. */
const textBytes = (text: string) => Buffer.byteLength(text, 'utf8');
