/** Which of its members' protocols a group uses: one that all of them list, and of those the one most of them prefer. */
import type { ClassicGroup, GroupMember, GroupProtocol } from './group-model.ts';

type Membership = Pick<ClassicGroup, 'members' | 'protocolType'>;

/** Whether a member with these protocols can be in the group: its type is the group's, and all members list one of its protocols. */
export function supportsProtocols(
  { members, protocolType }: Membership,
  joining: { readonly protocolType: string; readonly protocols: readonly GroupProtocol[] },
): boolean {
  if (members.size === 0) return joining.protocolType !== '' && joining.protocols.length > 0;
  if (joining.protocolType !== protocolType) return false;
  const common = commonProtocols(members);
  return joining.protocols.some(({ name }) => common.has(name));
}

/** Each member votes for the first of its protocols that all list; the most votes win, on a tie the one voted for first. */
export function chooseProtocol(members: ClassicGroup['members']): string | null {
  const candidates = commonProtocols(members);
  const votes = new Map<string, number>();
  for (const { protocols } of members.values()) {
    const vote = protocols.find(({ name }) => candidates.has(name));
    if (vote !== undefined) votes.set(vote.name, (votes.get(vote.name) ?? 0) + 1);
  }
  let chosen: string | null = null;
  for (const [name, count] of votes) {
    if (chosen === null || count > (votes.get(chosen) ?? 0)) chosen = name;
  }
  return chosen;
}

/** What the member said of itself under the protocol. */
export function protocolMetadata(member: GroupMember, protocolName: string | null): Uint8Array {
  return member.protocols.find(({ name }) => name === protocolName)?.metadata ?? noMetadata;
}

/** Whether the member would join with exactly what the group knows of it. */
export function sameProtocols(left: readonly GroupProtocol[], right: readonly GroupProtocol[]): boolean {
  if (left.length !== right.length) return false;
  return left.every(({ name, metadata }, index) => {
    const other = right[index];
    return other !== undefined && other.name === name && Buffer.compare(other.metadata, metadata) === 0;
  });
}

const noMetadata = new Uint8Array(0);

function commonProtocols(members: ClassicGroup['members']): Set<string> {
  let common: Set<string> | undefined;
  for (const { protocols } of members.values()) {
    const names = new Set(protocols.map(({ name }) => name));
    if (common === undefined) {
      common = names;
      continue;
    }
    for (const name of common) {
      if (!names.has(name)) common.delete(name);
    }
  }
  return common ?? new Set();
}
