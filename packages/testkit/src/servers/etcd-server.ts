/**
 * Real etcd for tests: one member or three as child processes on their own ports and folders, each of which can be killed, started
 * again, stopped in time, or put back to a snapshot. Which etcd that is, is etcd-programs.ts's business.
 */
import { ChildServer, freePort, runProgram } from '@kafscale/runtime';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultEtcdVersion, etcdPrograms, type EtcdPrograms, type EtcdVersion } from './etcd-programs.ts';
import { makeTestCertificates, type TestCertificates } from './test-certificates.ts';

export interface EtcdUser {
  readonly name: string;
  readonly password: string;
  /** Key prefixes that it may read and write; nothing else. */
  readonly prefixes: readonly string[];
}

export interface EtcdServerSettings {
  /** What `KAFSCALE_TEST_ETCD_VERSION` says unless set, and without that `debian` (3.4). */
  readonly version?: EtcdVersion;
  readonly members?: 1 | 3;
  readonly quotaBytes?: number;
  /** `server`: clients check etcd. `mutual`: etcd checks clients too. */
  readonly tls?: 'server' | 'mutual';
  /** Users beside root, who gets `rootPassword`; authentication is on when there are any. */
  readonly users?: readonly EtcdUser[];
  /** False where a lost disk is not the subject: data is then kept in memory, which spares the fsyncs. */
  readonly durable?: boolean;
  /** Further command line flags of etcd. */
  readonly flags?: readonly string[];
}

export const rootPassword = 'root-of-the-test';
/** Common name in the client certificate of `mutual` TLS. */
export const etcdClientName = 'kafscale';

const startTimeoutMs = 60_000;
const memoryFolder = '/dev/shm';

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly folder: string;
}

/** One etcd process. `endpoint` has no scheme, as clients take it. */
export class EtcdMember {
  readonly name: string;
  readonly endpoint: string;
  readonly port: number;
  readonly #launch: () => Promise<ChildServer>;
  #process: ChildServer | undefined;

  constructor({ name, clientPort }: Member, launch: () => Promise<ChildServer>) {
    this.name = name;
    this.port = clientPort;
    this.endpoint = `127.0.0.1:${clientPort}`;
    this.#launch = launch;
  }

  /** Starts it, or starts it again on the same port and data. Resolves when it serves, for which it needs a quorum. */
  async start(): Promise<void> {
    this.#process = await this.#launch();
  }

  get process(): ChildServer {
    if (this.#process === undefined) throw new Error(`${this.name} was not started`);
    return this.#process;
  }

  get running(): boolean {
    return this.#process?.running === true;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** Stops it in time (SIGSTOP): connections stay, answers do not come. */
  pause(): void {
    this.process.pause();
  }

  resume(): void {
    this.process.resume();
  }
}

export class EtcdServer {
  readonly members: readonly EtcdMember[];
  /** The certificates, with `tls`. */
  readonly certificates: TestCertificates | undefined;
  readonly #programs: EtcdPrograms;
  readonly #layout: readonly Member[];
  readonly #home: string;
  readonly #scheme: string;
  #authenticated = false;

  private constructor(parts: {
    readonly members: readonly EtcdMember[];
    readonly certificates: TestCertificates | undefined;
    readonly programs: EtcdPrograms;
    readonly layout: readonly Member[];
    readonly home: string;
    readonly scheme: string;
  }) {
    this.members = parts.members;
    this.certificates = parts.certificates;
    this.#programs = parts.programs;
    this.#layout = parts.layout;
    this.#home = parts.home;
    this.#scheme = parts.scheme;
  }

  static async start(settings: EtcdServerSettings = {}): Promise<EtcdServer> {
    const { version = defaultEtcdVersion(), members = 1, tls, users = [], durable = true } = settings;
    const programs = await etcdPrograms(version);
    const inMemory = !durable && existsSync(memoryFolder);
    if (inMemory) await removeLeftBehind();
    const home = await mkdtemp(join(inMemory ? memoryFolder : tmpdir(), `kafscale-etcd-${process.pid}-`));
    const certificates = tls && (await makeTestCertificates(home, etcdClientName));
    const layout: Member[] = [];
    for (let number = 1; number <= members; number += 1) {
      const [clientPort, peerPort] = [await freePort(), await freePort()];
      layout.push({ name: `etcd-${number}`, clientPort, peerPort, folder: join(home, `etcd-${number}`) });
    }
    const launch = (member: Member) => (): Promise<ChildServer> =>
      ChildServer.start({
        name: member.name,
        program: programs.etcd,
        args: [
          ...memberFlags(member, layout, tls === undefined ? 'http' : 'https'),
          ...commonFlags(settings, certificates),
        ],
        logFile: join(home, `${member.name}.log`),
        ready: /serving client traffic/,
        readyTimeoutMs: startTimeoutMs,
      });
    const server = new EtcdServer({
      members: layout.map((member) => new EtcdMember(member, launch(member))),
      certificates,
      programs,
      layout,
      home,
      scheme: tls === undefined ? 'http' : 'https',
    });
    try {
      await server.startAll();
      if (users.length > 0) await server.#addUsers(users);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** `host:port` of every member. */
  get endpoints(): string[] {
    return this.members.map(({ endpoint }) => endpoint);
  }

  /** Where the members' logs are. */
  get folder(): string {
    return this.#home;
  }

  /** Starts every member that is not running. */
  async startAll(): Promise<void> {
    await Promise.all(this.members.filter(({ running }) => !running).map((member) => member.start()));
  }

  /** `kill -9` of every member. */
  async killAll(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }

  /** The member that leads now. Rejects when no member that answers knows a leader. */
  async leader(): Promise<EtcdMember> {
    for (const member of this.members.filter(({ running }) => running)) {
      const status = await this.#status(member).catch(() => undefined);
      if (status !== undefined && status.leader !== 0 && status.leader === status.header.member_id) return member;
    }
    throw new Error('no member of etcd leads');
  }

  async #status(member: EtcdMember): Promise<EtcdStatus> {
    const printed = await this.#ctl(member.endpoint, ['endpoint', 'status', '--write-out=json']);
    return (JSON.parse(printed) as { readonly Status: EtcdStatus }[])[0]!.Status;
  }

  /** Size of the database on the disk of the first member, bytes. */
  async databaseBytes(): Promise<number> {
    return (await this.#status(this.members[0]!)).dbSize;
  }

  /** Runs etcdctl as root against every member; answers what it prints. */
  async etcdctl(...args: readonly string[]): Promise<string> {
    return this.#ctl(this.endpoints.join(','), args);
  }

  async #ctl(endpoints: string, args: readonly string[]): Promise<string> {
    const { certificates } = this;
    const access = [
      `--endpoints=${endpoints}`,
      ...(certificates === undefined
        ? []
        : [
            `--cacert=${certificates.caFile}`,
            `--cert=${certificates.client.certFile}`,
            `--key=${certificates.client.keyFile}`,
          ]),
      ...(this.#authenticated ? [`--user=root:${rootPassword}`] : []),
    ];
    const withScheme = access.map((flag) => flag.replace(/(?<==|,)(?=127\.0\.0\.1)/g, `${this.#scheme}://`));
    return runProgram(this.#programs.etcdctl, [...withScheme, ...args], { timeoutMs: 30_000 });
  }

  async #addUsers(users: readonly EtcdUser[]): Promise<void> {
    await this.etcdctl('user', 'add', `root:${rootPassword}`);
    for (const { name, password, prefixes } of users) {
      await this.etcdctl('user', 'add', `${name}:${password}`);
      await this.etcdctl('role', 'add', name);
      for (const prefix of prefixes) {
        await this.etcdctl('role', 'grant-permission', name, '--prefix=true', 'readwrite', prefix);
      }
      await this.etcdctl('user', 'grant-role', name, name);
    }
    await this.etcdctl('auth', 'enable');
    this.#authenticated = true;
  }

  /** Saves what the first member has into a file. */
  async snapshot(file: string): Promise<void> {
    await this.#ctl(this.members[0]!.endpoint, ['snapshot', 'save', file]);
  }

  /** Kills every member and starts them with what the snapshot holds: same ports, same cluster id, older revisions. */
  async restore(file: string): Promise<void> {
    await this.killAll();
    for (const member of this.#layout) {
      const restored = `${member.folder}.restored`;
      await rm(restored, { recursive: true, force: true });
      const flags = [
        ...['--name', member.name, '--data-dir', restored],
        ...['--initial-cluster', initialCluster(this.#layout, this.#scheme)],
        ...['--initial-advertise-peer-urls', `${this.#scheme}://127.0.0.1:${member.peerPort}`],
      ];
      await runProgram(this.#programs.etcdutl, ['snapshot', 'restore', file, ...flags]);
      await rm(member.folder, { recursive: true, force: true });
      await rename(restored, member.folder);
    }
    await this.startAll();
  }

  /** Kills every member and starts them with nothing: what a lost etcd is. */
  async wipe(): Promise<void> {
    await this.killAll();
    for (const { folder } of this.#layout) await rm(folder, { recursive: true, force: true });
    this.#authenticated = false;
    await this.startAll();
  }

  /**
   * Puts others in the place of all certificates, in the same files, signed by another authority of the same name. etcd takes its own
   * at the next connection, and whom it trusts when it starts.
   */
  async renewCertificates(): Promise<void> {
    if (this.certificates === undefined) throw new Error('this etcd was started without TLS');
    await makeTestCertificates(this.#home, etcdClientName);
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    await this.killAll();
    await rm(this.#home, { recursive: true, force: true });
  }
}

/** Data in memory whose test process was killed would stay there until the machine is restarted. */
async function removeLeftBehind(): Promise<void> {
  for (const name of await readdir(memoryFolder)) {
    const pid = /^kafscale-etcd-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    await rm(join(memoryFolder, name), { recursive: true, force: true });
  }
}

/** The part of etcdctl's report that is used; the leader is 0 while there is none. */
interface EtcdStatus {
  readonly header: { readonly member_id: number };
  readonly leader: number;
  readonly dbSize: number;
}

const initialCluster = (layout: readonly Member[], scheme: string): string =>
  layout.map(({ name, peerPort }) => `${name}=${scheme}://127.0.0.1:${peerPort}`).join(',');

function memberFlags(member: Member, layout: readonly Member[], scheme: string): string[] {
  const { name, clientPort, peerPort, folder } = member;
  const clientUrl = `${scheme}://127.0.0.1:${clientPort}`;
  const peerUrl = `${scheme}://127.0.0.1:${peerPort}`;
  return [
    ...['--name', name, '--data-dir', folder, '--logger', 'zap'],
    ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
    ...['--initial-cluster', initialCluster(layout, scheme)],
  ];
}

function commonFlags({ tls, quotaBytes, flags = [] }: EtcdServerSettings, certificates?: TestCertificates): string[] {
  const common = [...(quotaBytes === undefined ? [] : ['--quota-backend-bytes', String(quotaBytes)]), ...flags];
  if (certificates === undefined) return common;
  const { caFile, server } = certificates;
  return [
    ...common,
    ...['--cert-file', server.certFile, '--key-file', server.keyFile],
    ...['--peer-cert-file', server.certFile, '--peer-key-file', server.keyFile, '--peer-trusted-ca-file', caFile],
    ...(tls === 'mutual' ? ['--trusted-ca-file', caFile, '--client-cert-auth'] : []),
  ];
}
