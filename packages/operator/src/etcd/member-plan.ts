/**
 * What the operator tells each member of a managed etcd before it starts, as a file in a ConfigMap, and what follows from it: addresses
 * and etcd's own configuration. The one contract between the operator and `kafscale etcd-prepare`, which may be of two releases.
 */
import { z } from 'zod';

export const memberPlanSchema = z.object({
  /** Members are `<name>-0` and so on. */
  name: z.string().min(1),
  /** What follows a member's name in its host name, such as `x-etcd.shop.svc`. */
  domain: z.string().min(1),
  /** Members that are wanted; one beyond them does not start. */
  members: z.int().min(1).max(9),
  /** Grows whenever this etcd begins anew from nothing. */
  life: z.int().min(1),
  /** Names this etcd apart from any other, the same for one life. */
  token: z.string().min(1),
  /** True from the moment a quorum was seen in this life: nobody begins anew then. */
  isInitialized: z.boolean(),
  /** Key of a snapshot in the bucket that the first members begin with. */
  restoreFrom: z.string().min(1).optional(),
  quotaBackendBytes: z.int().min(1),
  autoCompactionRetention: z.string().min(1),
});

export type MemberPlan = z.output<typeof memberPlanSchema>;

/** What `kafscale etcd-prepare` knows of its pod. */
export const memberPodSchema = z.object({
  member: z.string().optional().meta({ env: 'POD_NAME' }),
  podIp: z.string().default('').meta({ env: 'POD_IP' }),
  /** Our image carries the program of that name. */
  etcdutl: z.string().default('etcdutl').meta({ env: 'KAFSCALE_ETCDUTL' }),
});

export const etcdPorts = { client: 2379, peer: 2380, metrics: 2381 };

/** Where things lie on a member's volume. */
export const memberPaths = { data: 'etcd', config: 'etcd.json', identity: 'member.json', restore: 'restore' };

export const memberName = ({ name }: Pick<MemberPlan, 'name'>, ordinal: number): string => `${name}-${ordinal}`;

/** Undefined for what is no member of this etcd. */
export function ordinalOf({ name }: Pick<MemberPlan, 'name'>, member: string): number | undefined {
  const ordinal = member.startsWith(`${name}-`) ? member.slice(name.length + 1) : '';
  return /^\d+$/.test(ordinal) ? Number(ordinal) : undefined;
}

/** How a member is reached; tests have addresses of their own. */
export interface MemberAddresses {
  client(ordinal: number): string;
  peer(ordinal: number): string;
}

export const addressesOf = (plan: Pick<MemberPlan, 'name' | 'domain'>): MemberAddresses => ({
  client: (ordinal) => `http://${memberName(plan, ordinal)}.${plan.domain}:${etcdPorts.client}`,
  peer: (ordinal) => `http://${memberName(plan, ordinal)}.${plan.domain}:${etcdPorts.peer}`,
});

export const peersOf = (plan: MemberPlan, addresses: MemberAddresses): readonly string[] =>
  Array.from({ length: plan.members }, (_, ordinal) => addresses.peer(ordinal));

/** `name=url,…`, as etcd wants it. */
export const initialCluster = (members: readonly { readonly name: string; readonly peerUrl: string }[]): string =>
  members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');

export interface ListenUrls {
  readonly client: string;
  readonly peer: string;
  readonly metrics: string;
}

/** Every address of the pod; IPv6 where the pod has one, which covers both. */
export function listenUrls(podIp: string): ListenUrls {
  const any = podIp.includes(':') ? '[::]' : '0.0.0.0';
  const at = (port: number): string => `http://${any}:${port}`;
  return { client: at(etcdPorts.client), peer: at(etcdPorts.peer), metrics: at(etcdPorts.metrics) };
}

export interface MemberConfig {
  readonly plan: MemberPlan;
  readonly member: string;
  readonly dataFolder: string;
  readonly listen: ListenUrls;
  readonly clientUrl: string;
  readonly peerUrl: string;
  /** Whom it starts with where it has no data yet. */
  readonly initialCluster: string;
  readonly isJoining: boolean;
}

/** Transactions of brokers have up to 128 operations. */
const maxTxnOps = 512;
/** Entries between two snapshots of raft's log: what a member that was away for long is sent, and how much memory the log takes. */
const raftSnapshotEntries = 10_000;

/** The content of etcd's `--config-file`. */
export function etcdConfig(config: MemberConfig): Readonly<Record<string, string | number | boolean>> {
  const { plan, listen } = config;
  return {
    name: config.member,
    'data-dir': config.dataFolder,
    'listen-client-urls': listen.client,
    'listen-peer-urls': listen.peer,
    'listen-metrics-urls': listen.metrics,
    'advertise-client-urls': config.clientUrl,
    'initial-advertise-peer-urls': config.peerUrl,
    'initial-cluster': config.initialCluster,
    'initial-cluster-state': config.isJoining ? 'existing' : 'new',
    'initial-cluster-token': plan.token,
    'strict-reconfig-check': true,
    'auto-compaction-mode': 'periodic',
    'auto-compaction-retention': plan.autoCompactionRetention,
    'quota-backend-bytes': plan.quotaBackendBytes,
    'max-txn-ops': maxTxnOps,
    'snapshot-count': raftSnapshotEntries,
    logger: 'zap',
  };
}
