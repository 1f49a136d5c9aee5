/**
 * As much of etcd's API as running one takes: health, members, maintenance and the snapshot stream, by the JSON gateway that every
 * member serves beside gRPC (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/). One client asks one member. Ids are decimal text,
 * as the gateway has them: they do not fit a number.
 */
import { withDeadline, type Clock } from '@kafscale/runtime';

/** `unreachable`: no answer in time; what was asked for may have been done. `refused`: etcd says no, and why. */
export class EtcdCallError extends Error {
  override readonly name = 'EtcdCallError';
  readonly kind: 'unreachable' | 'refused';

  constructor(kind: EtcdCallError['kind'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export interface EtcdMember {
  readonly id: string;
  /** Empty until it has started for the first time, where it was added later. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until it has started for the first time. */
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface EtcdMembership {
  readonly clusterId: string;
  readonly members: readonly EtcdMember[];
}

export interface EtcdStatus {
  readonly memberId: string;
  /** `0` while there is none. */
  readonly leaderId: string;
  readonly version: string;
  /** What this member has applied. */
  readonly revision: number;
  readonly isLearner: boolean;
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Of it in use; the rest is free for new writes, or for a defragmentation to give back. */
  readonly inUseBytes: number;
}

export interface EtcdAlarm {
  readonly memberId: string;
  readonly alarm: string;
}

/** Calls throw EtcdCallError. */
export interface EtcdClient {
  readonly url: string;
  /** Of this member alone, quorum or not. */
  status(): Promise<EtcdStatus>;
  /** By quorum: an answer is the truth of this moment. */
  members(): Promise<EtcdMembership>;
  /** The newest revision, by quorum. */
  revision(): Promise<number>;
  alarms(): Promise<readonly EtcdAlarm[]>;
  disarm(alarm: EtcdAlarm): Promise<void>;
  /** Adds a member that does not vote yet. */
  addLearner(peerUrl: string): Promise<EtcdMembership>;
  /** Makes a learner a voter; refused until it has caught up. */
  promote(memberId: string): Promise<void>;
  remove(memberId: string): Promise<void>;
  /** Asked of the leader. */
  moveLeader(toMemberId: string): Promise<void>;
  /** Gives free space of the file back to the disk; the member serves nothing meanwhile. */
  defragment(): Promise<void>;
  /** The database as of one moment, piece by piece, with its SHA-256 as the last 32 bytes. */
  snapshot(signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

export type ConnectEtcd = (url: string) => EtcdClient;

const callDeadlineMs = 3_000;
/** Copying the largest database etcd recommends takes less. */
const defragmentDeadlineMs = 120_000;

interface MemberJson {
  readonly ID: string;
  readonly name?: string;
  readonly peerURLs?: readonly string[];
  readonly clientURLs?: readonly string[];
  readonly isLearner?: boolean;
}

interface MembersJson {
  readonly header: { readonly cluster_id: string };
  readonly members: readonly MemberJson[];
}

interface StatusJson {
  readonly header: { readonly member_id: string; readonly revision?: string };
  readonly leader?: string;
  readonly version: string;
  readonly dbSize?: string;
  readonly dbSizeInUse?: string;
  readonly isLearner?: boolean;
}

interface AlarmsJson {
  readonly alarms?: readonly { readonly memberID: string; readonly alarm: string }[];
}

/** What every line of the snapshot stream is. */
interface SnapshotJson {
  readonly result?: { readonly blob?: string };
  readonly error?: { readonly message?: string };
}

export const connectEtcd =
  (clock: Clock): ConnectEtcd =>
  (url) => {
    const call = async <Answer>(path: string, body: object, deadlineMs = callDeadlineMs): Promise<Answer> =>
      withDeadline(clock, deadlineMs, async (signal) => {
        const response = await post(`${url}${path}`, body, signal);
        try {
          return (await response.json()) as Answer;
        } catch (error) {
          throw new EtcdCallError('unreachable', `${url}: the answer broke off`, { cause: error });
        }
      });
    return {
      url,
      status: async () => statusOf(await call<StatusJson>('/v3/maintenance/status', {})),
      members: async () => membershipOf(await call<MembersJson>('/v3/cluster/member/list', { linearizable: true })),
      async revision() {
        const range = { key: Buffer.from('\0').toString('base64'), count_only: true };
        const { header } = await call<{ header: { revision?: string } }>('/v3/kv/range', range);
        return Number(header.revision ?? 0);
      },
      async alarms() {
        const { alarms = [] } = await call<AlarmsJson>('/v3/maintenance/alarm', { action: 'GET' });
        return alarms.map(({ memberID, alarm }) => ({ memberId: memberID, alarm }));
      },
      async disarm({ memberId, alarm }) {
        await call('/v3/maintenance/alarm', { action: 'DEACTIVATE', memberID: memberId, alarm });
      },
      async addLearner(peerUrl) {
        const body = { peerURLs: [peerUrl], isLearner: true };
        return membershipOf(await call<MembersJson>('/v3/cluster/member/add', body));
      },
      async promote(memberId) {
        await call('/v3/cluster/member/promote', { ID: memberId });
      },
      async remove(memberId) {
        await call('/v3/cluster/member/remove', { ID: memberId });
      },
      async moveLeader(toMemberId) {
        await call('/v3/maintenance/transfer-leadership', { targetID: toMemberId });
      },
      async defragment() {
        await call('/v3/maintenance/defragment', {}, defragmentDeadlineMs);
      },
      snapshot: (signal) => snapshotOf(url, signal),
    };
  };

async function post(url: string, body: object, signal: AbortSignal | undefined): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) });
  } catch (error) {
    throw new EtcdCallError('unreachable', `${new URL(url).origin} does not answer`, { cause: error });
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => '');
  throw new EtcdCallError(
    response.status === 503 ? 'unreachable' : 'refused',
    `${new URL(url).origin}: ${messageIn(text)}`,
  );
}

function messageIn(text: string): string {
  try {
    const { message, error } = JSON.parse(text) as { message?: string; error?: string };
    return message ?? error ?? text;
  } catch {
    return text.slice(0, 200);
  }
}

async function* snapshotOf(url: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  const { body } = await post(`${url}/v3/maintenance/snapshot`, {}, signal);
  if (body === null) throw new EtcdCallError('unreachable', `${url} sent no snapshot`);
  for await (const line of linesOf(body, url)) {
    const { result, error } = JSON.parse(line) as SnapshotJson;
    if (error !== undefined) throw new EtcdCallError('unreachable', `${url}: ${error.message ?? 'the snapshot ended'}`);
    if (result?.blob !== undefined) yield Buffer.from(result.blob, 'base64');
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>, url: string): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop()!;
      yield* lines.filter((line) => line !== '');
    }
  } catch (error) {
    if (error instanceof EtcdCallError) throw error;
    throw new EtcdCallError('unreachable', `${url}: the snapshot broke off`, { cause: error });
  }
  if (rest !== '') yield rest;
}

const membershipOf = ({ header, members }: MembersJson): EtcdMembership => ({
  clusterId: header.cluster_id,
  members: members.map(({ ID, name = '', peerURLs = [], clientURLs = [], isLearner = false }) => ({
    ...{ id: ID, name, peerUrls: peerURLs, clientUrls: clientURLs, isLearner },
  })),
});

const statusOf = ({ header, leader, version, dbSize, dbSizeInUse, isLearner }: StatusJson): EtcdStatus => ({
  memberId: header.member_id,
  leaderId: leader ?? '0',
  version,
  revision: Number(header.revision ?? 0),
  isLearner: isLearner ?? false,
  sizeBytes: Number(dbSize ?? 0),
  inUseBytes: Number(dbSizeInUse ?? 0),
});
