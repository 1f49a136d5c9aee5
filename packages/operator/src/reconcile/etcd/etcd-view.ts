/** A managed etcd as it was seen at one moment, asked member by member. What did not answer is missing. */
import { mapConcurrently } from '@kafscale/runtime';
import type { ConnectEtcd, EtcdAlarm, EtcdClient, EtcdMembership, EtcdStatus } from '../../etcd/etcd-client.ts';
import type { MemberAddresses } from '../../etcd/member-plan.ts';

export interface SeenMember {
  readonly ordinal: number;
  readonly client: EtcdClient;
  /** Undefined while it does not answer. */
  readonly status: EtcdStatus | undefined;
  /** The place that the others have for it; undefined when they have none, or there is no quorum. */
  readonly memberId: string | undefined;
  readonly isLearner: boolean;
  /** It answers, has its place, votes and knows who leads. */
  readonly isHealthy: boolean;
  readonly isLeader: boolean;
}

export interface EtcdView {
  readonly members: readonly SeenMember[];
  /** By quorum; undefined when there is none. */
  readonly membership: EtcdMembership | undefined;
  readonly alarms: readonly EtcdAlarm[];
}

const callsAtOnce = 9;

export async function viewEtcd(connect: ConnectEtcd, addresses: MemberAddresses, count: number): Promise<EtcdView> {
  const clients = Array.from({ length: count }, (_, ordinal) => connect(addresses.client(ordinal)));
  const statuses: (EtcdStatus | undefined)[] = [];
  await mapConcurrently(
    [...clients.entries()],
    callsAtOnce,
    async ([ordinal, client]) => void (statuses[ordinal] = await client.status().catch(() => undefined)),
  );
  const answering = clients.filter((_, ordinal) => statuses[ordinal] !== undefined);
  const membership = await first(answering, (client) => client.members());
  const alarms = membership && (await first(answering, (client) => client.alarms()));
  const members = clients.map((client, ordinal): SeenMember => {
    const status = statuses[ordinal];
    const place = membership?.members.find(({ peerUrls }) => peerUrls.includes(addresses.peer(ordinal)));
    const isLearner = place?.isLearner ?? false;
    const isHealthy = status !== undefined && place?.id === status.memberId && !isLearner && status.leaderId !== '0';
    const isLeader = isHealthy && status.memberId === status.leaderId;
    return { ordinal, client, status, memberId: place?.id, isLearner, isHealthy, isLeader };
  });
  return { members, membership, alarms: alarms ?? [] };
}

/** The first answer; undefined when nobody has one. */
async function first<Answer>(
  clients: readonly EtcdClient[],
  ask: (client: EtcdClient) => Promise<Answer>,
): Promise<Answer | undefined> {
  for (const client of clients) {
    const answer = await ask(client).catch(() => undefined);
    if (answer !== undefined) return answer;
  }
  return undefined;
}
