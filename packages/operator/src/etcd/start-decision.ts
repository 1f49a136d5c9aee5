/**
 * How a member of a managed etcd starts: pure, from what lies on its volume and what its peers say. The rules that keep records safe:
 * a member without data never votes as one that had some, and nothing begins anew once this etcd has been seen alive.
 */
import type { EtcdMember, EtcdMembership } from './etcd-client.ts';

export interface MemberSituation {
  readonly isWanted: boolean;
  readonly peerUrl: string;
  readonly hasData: boolean;
  /** Of the etcd whose data it is, where that was noted. */
  readonly dataClusterId: string | undefined;
  /** What a quorum of the others says; undefined when there is none. */
  readonly peers: EtcdMembership | undefined;
  readonly isInitialized: boolean;
  readonly restores: boolean;
}

/**
 * - `start`: with the data it has. `set-aside`: its data is of no use, being another etcd's or a removed member's; decide again
 *   without it. `join`: with the place that the others have for it. `replace`: remove the member that lost its data, then as `add`.
 * - `add`: ask the others for a place. `bootstrap`: begin a new etcd. `restore`: begin with a snapshot. `wait`: until the others answer.
 */
export type StartDecision =
  | { readonly type: 'start' }
  | { readonly type: 'set-aside'; readonly because: string }
  | { readonly type: 'join'; readonly peers: EtcdMembership }
  | { readonly type: 'replace'; readonly lost: EtcdMember }
  | { readonly type: 'add' }
  | { readonly type: 'bootstrap' }
  | { readonly type: 'restore' }
  | { readonly type: 'wait'; readonly because: string };

export function decideStart(situation: MemberSituation): StartDecision {
  return situation.hasData ? withData(situation) : withoutData(situation);
}

function withData({ peers, dataClusterId, peerUrl }: MemberSituation): StartDecision {
  // No quorum without this member, as when all start at once: what it has is needed.
  if (peers === undefined) return { type: 'start' };
  if (dataClusterId !== undefined && dataClusterId !== peers.clusterId) {
    return { type: 'set-aside', because: 'it is of another etcd than the one its peers run' };
  }
  if (placeOf(peerUrl, peers) === undefined) {
    return { type: 'set-aside', because: 'this member was removed from etcd' };
  }
  return { type: 'start' };
}

function withoutData({ isWanted, peers, peerUrl, isInitialized, restores }: MemberSituation): StartDecision {
  if (!isWanted) return { type: 'wait', because: 'this member is no longer wanted' };
  if (peers !== undefined) {
    const place = placeOf(peerUrl, peers);
    if (place === undefined) return { type: 'add' };
    // It tells its clients' URLs with its first start; before that it has promised nothing to anybody.
    return place.clientUrls.length === 0 ? { type: 'join', peers } : { type: 'replace', lost: place };
  }
  if (isInitialized) {
    return { type: 'wait', because: 'its data is gone and the other members have no quorum that could take it in' };
  }
  return { type: restores ? 'restore' : 'bootstrap' };
}

const placeOf = (peerUrl: string, { members }: EtcdMembership): EtcdMember | undefined =>
  members.find(({ peerUrls }) => peerUrls.includes(peerUrl));
