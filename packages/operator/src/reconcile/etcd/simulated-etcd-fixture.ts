/** For tests of the reconciler of a managed etcd: its members as they answer, without processes; raft is one decision of the test. */
import { EtcdCallError, type EtcdClient, type EtcdMember } from '../../etcd/etcd-client.ts';
import { addressesOf } from '../../etcd/member-plan.ts';

const addresses = addressesOf({ name: 'kafscale-etcd', domain: 'kafscale-etcd.shop.svc' });
const mebibyte = 2 ** 20;

export class SimulatedEtcd {
  readonly clusterId = '7';
  /** Places, by ordinal. */
  readonly places = new Map<number, EtcdMember>();
  readonly running = new Set<number>();
  readonly sizes = new Map<number, { sizeMb: number; inUseMb: number }>();
  readonly calls: string[] = [];
  leader = 0;
  alarms: { memberId: string; alarm: string }[] = [];
  /** Why the next call is refused. */
  refusal: string | undefined;
  #ids = 100;

  /** As many members as there are, all running and voting. */
  run(count: number): void {
    for (let ordinal = 0; ordinal < count; ordinal += 1) {
      this.add(ordinal, false);
      this.running.add(ordinal);
    }
  }

  /** As `etcd-prepare` does for a member without data. */
  add(ordinal: number, isLearner = true): void {
    const [name, id] = [`kafscale-etcd-${ordinal}`, String((this.#ids += 1))];
    const urls = { peerUrls: [addresses.peer(ordinal)], clientUrls: [addresses.client(ordinal)] };
    this.places.set(ordinal, { id, name, ...urls, isLearner });
    this.sizes.set(ordinal, { sizeMb: 1, inUseMb: 1 });
  }

  readonly connect = (url: string): EtcdClient => {
    const ordinal = [0, 1, 2, 3, 4, 5, 6].find((one) => addresses.client(one) === url)!;
    const call = async <Answer>(what: string, act: () => Answer, needsQuorum = true): Promise<Answer> => {
      if (!this.running.has(ordinal)) throw new EtcdCallError('unreachable', `${url} does not answer`);
      if (needsQuorum && !this.#hasQuorum) throw new EtcdCallError('unreachable', 'no quorum');
      const isWrite = !['status', 'members', 'alarms'].includes(what);
      if (isWrite) this.calls.push(`${what} @${ordinal}`);
      if (isWrite && this.refusal !== undefined) throw new EtcdCallError('refused', this.refusal);
      return Promise.resolve(act());
    };
    const placeOf = (id: string) => [...this.places].find(([, place]) => place.id === id)!;
    return {
      url,
      status: () => call('status', () => this.#statusOf(ordinal), false),
      members: () => call('members', () => ({ clusterId: this.clusterId, members: [...this.places.values()] })),
      alarms: () => call('alarms', () => this.alarms),
      revision: () => call('revision', () => 1),
      disarm: () => call('disarm', () => void (this.alarms = [])),
      addLearner: () => Promise.reject(new Error('members add themselves')),
      promote: (id) =>
        call('promote', () => {
          const [at, place] = placeOf(id);
          this.places.set(at, { ...place, isLearner: false });
        }),
      remove: (id) =>
        call('remove', () => {
          const [at] = placeOf(id);
          this.places.delete(at);
          this.running.delete(at);
        }),
      moveLeader: (id) => call('move-leader', () => void (this.leader = placeOf(id)[0])),
      defragment: () =>
        call('defragment', () => {
          const size = this.sizes.get(ordinal)!;
          size.sizeMb = size.inUseMb;
        }),
      async *snapshot() {
        // No test takes one here.
      },
    };
  };

  get #hasQuorum(): boolean {
    const voters = [...this.places].filter(([, { isLearner }]) => !isLearner);
    const answering = voters.filter(([ordinal]) => this.running.has(ordinal));
    return answering.length > voters.length / 2;
  }

  #statusOf(ordinal: number) {
    const { sizeMb, inUseMb } = this.sizes.get(ordinal) ?? { sizeMb: 0, inUseMb: 0 };
    const place = this.places.get(ordinal);
    return {
      memberId: place?.id ?? '1',
      leaderId: this.#hasQuorum ? this.places.get(this.leader)!.id : '0',
      ...{ version: '3.6.16', revision: 1, isLearner: place?.isLearner ?? false },
      ...{ sizeBytes: sizeMb * mebibyte, inUseBytes: inUseMb * mebibyte },
    };
  }
}
