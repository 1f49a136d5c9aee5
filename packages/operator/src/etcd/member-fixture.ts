/** A managed etcd as the pods of a StatefulSet run it, without Kubernetes: each member is prepared, then started by its configuration. */
import { silentLogger, systemClock } from '@kafscale/runtime';
import { ChildServer, etcdPrograms, freePort, runProgram, type EtcdPrograms } from '@kafscale/testkit';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectEtcd, type EtcdClient } from './etcd-client.ts';
import { fetchSnapshot } from './fetch-snapshot.ts';
import { memberName, memberPaths, type ListenUrls, type MemberAddresses, type MemberPlan } from './member-plan.ts';
import { prepareMember } from './prepare-member.ts';
import type { SnapshotStore } from './snapshot-catalog.ts';

const mostMembers = 5;

export class MemberProcesses {
  plan: MemberPlan;
  readonly addresses: MemberAddresses;
  readonly connect = connectEtcd(systemClock);
  readonly #home: string;
  readonly #programs: EtcdPrograms;
  readonly #listen: readonly ListenUrls[];
  readonly #store: SnapshotStore;
  readonly #running = new Map<number, ChildServer>();

  private constructor(home: string, programs: EtcdPrograms, listen: readonly ListenUrls[], store: SnapshotStore) {
    this.#home = home;
    this.#programs = programs;
    this.#listen = listen;
    this.#store = store;
    this.addresses = { client: (ordinal) => listen[ordinal]!.client, peer: (ordinal) => listen[ordinal]!.peer };
    this.plan = {
      ...{ name: 'x-etcd', domain: 'x-etcd.test.svc', members: 3, life: 1, token: 'uid-1', isInitialized: false },
      ...{ quotaBackendBytes: 64 * 2 ** 20, autoCompactionRetention: '5m' },
    };
  }

  static async create(store: SnapshotStore): Promise<MemberProcesses> {
    const home = await mkdtemp(join(tmpdir(), 'kafscale-members-'));
    const listen: ListenUrls[] = [];
    const url = async () => `http://127.0.0.1:${await freePort()}`;
    for (let ordinal = 0; ordinal <= mostMembers; ordinal += 1) {
      listen.push({ client: await url(), peer: await url(), metrics: await url() });
    }
    return new MemberProcesses(home, await etcdPrograms('newest'), listen, store);
  }

  client(ordinal: number): EtcdClient {
    return this.connect(this.addresses.client(ordinal));
  }

  folder(ordinal: number): string {
    return join(this.#home, String(ordinal));
  }

  /** What runs before etcd in the pod. Answers what was decided. */
  async prepare(ordinal: number): Promise<string> {
    const folder = this.folder(ordinal);
    await mkdir(folder, { recursive: true });
    return prepareMember(
      { plan: this.plan, member: memberName(this.plan, ordinal), folder, listen: this.#listen[ordinal]! },
      {
        ...{ clock: systemClock, logger: silentLogger, connect: this.connect, addresses: this.addresses },
        fetchSnapshot: (key, file) => fetchSnapshot(this.#store, key, file),
        etcdutl: (args) => runProgram(this.#programs.etcdutl, args, { timeoutMs: 30_000 }).then(() => undefined),
      },
    );
  }

  async start(ordinal: number): Promise<string> {
    const decision = await this.prepare(ordinal);
    await this.run(ordinal);
    return decision;
  }

  /** etcd itself; resolves when its metrics port listens, quorum or not. */
  async run(ordinal: number): Promise<void> {
    const process = await ChildServer.start({
      name: memberName(this.plan, ordinal),
      program: this.#programs.etcd,
      args: [`--config-file=${join(this.folder(ordinal), memberPaths.config)}`],
      logFile: join(this.#home, `${ordinal}.log`),
      ready: /serving metrics/,
      readyTimeoutMs: 30_000,
    });
    this.#running.set(ordinal, process);
  }

  async startAll(): Promise<readonly string[]> {
    return Promise.all(Array.from({ length: this.plan.members }, (_, ordinal) => this.start(ordinal)));
  }

  async kill(ordinal: number): Promise<void> {
    await this.#running.get(ordinal)?.kill();
    this.#running.delete(ordinal);
  }

  /** The volume and all on it is gone. */
  async lose(ordinal: number): Promise<void> {
    await this.kill(ordinal);
    await rm(this.folder(ordinal), { recursive: true, force: true });
  }

  async etcdctl(...args: readonly string[]): Promise<string> {
    const endpoints = [...this.#running.keys()].map((ordinal) => this.addresses.client(ordinal)).join(',');
    return runProgram(this.#programs.etcdctl, [`--endpoints=${endpoints}`, ...args], { timeoutMs: 30_000 });
  }

  async put(key: string, value: string): Promise<void> {
    await this.etcdctl('put', key, value);
  }

  async get(key: string): Promise<string> {
    return (await this.etcdctl('get', '--print-value-only', key)).trim();
  }

  async close(): Promise<void> {
    for (const ordinal of [...this.#running.keys()]) await this.kill(ordinal);
    await rm(this.#home, { recursive: true, force: true });
  }
}
