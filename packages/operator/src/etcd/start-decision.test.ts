import type { EtcdMembership } from './etcd-client.ts';
import { decideStart, type MemberSituation } from './start-decision.ts';

const me = 'http://x-etcd-2:2380';

const peersWith = (clientUrls: readonly string[] | undefined): EtcdMembership => ({
  clusterId: '1',
  members: [
    { id: 'a', name: 'x-etcd-0', peerUrls: ['http://x-etcd-0:2380'], clientUrls: ['http://c'], isLearner: false },
    ...(clientUrls ? [{ id: 'b', name: 'x-etcd-2', peerUrls: [me], clientUrls, isLearner: false }] : []),
  ],
});

const fresh: MemberSituation = {
  ...{ isWanted: true, peerUrl: me, hasData: false, dataClusterId: undefined, peers: undefined },
  ...{ isInitialized: false, restores: false },
};
const withData: MemberSituation = { ...fresh, hasData: true, dataClusterId: '1' };

test.each<[string, MemberSituation, string]>([
  ['the first start of all', fresh, 'bootstrap'],
  ['the first start of all, with a snapshot', { ...fresh, restores: true }, 'restore'],
  ['a start with its data', { ...withData, peers: peersWith(['http://c']) }, 'start'],
  ['a start with its data while nobody answers', withData, 'start'],
  ['lost data, seen by the others', { ...fresh, isInitialized: true, peers: peersWith(['http://c']) }, 'replace'],
  ['lost data before anybody noted that etcd lives', { ...fresh, peers: peersWith(['http://c']) }, 'replace'],
  ['lost data without a quorum', { ...fresh, isInitialized: true }, 'wait'],
  ['lost data without a quorum, and a snapshot', { ...fresh, isInitialized: true, restores: true }, 'wait'],
  ['a member that is new to the others', { ...fresh, isInitialized: true, peers: peersWith(undefined) }, 'add'],
  ['a place that was made for it', { ...fresh, isInitialized: true, peers: peersWith([]) }, 'join'],
  ['a snapshot when the others live already', { ...fresh, restores: true, peers: peersWith([]) }, 'join'],
  ['data of another etcd', { ...withData, dataClusterId: '2', peers: peersWith(['http://c']) }, 'set-aside'],
  ['data of a removed member', { ...withData, peers: peersWith(undefined) }, 'set-aside'],
  ['data of nobody knows which etcd', { ...withData, dataClusterId: undefined, peers: peersWith(['c']) }, 'start'],
  ['one too many', { ...fresh, isWanted: false, peers: peersWith(undefined) }, 'wait'],
])('%s', (_, situation, type) => {
  expect(decideStart(situation).type).toBe(type);
});
