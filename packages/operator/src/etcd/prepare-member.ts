/**
 * Makes the volume of a member of a managed etcd ready for its start and writes etcd's configuration: what runs before etcd in each of
 * its pods (`kafscale etcd-prepare`). It may die anywhere and is begun again; each step leaves something from which the next run
 * decides the same or better.
 */
import type { Clock, Logger } from '@kafscale/runtime';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EtcdCallError, type ConnectEtcd, type EtcdMembership } from './etcd-client.ts';
import { clusterIdOf } from './member-identity.ts';
import {
  addressesOf,
  etcdConfig,
  initialCluster,
  memberName,
  memberPaths,
  ordinalOf,
  peersOf,
  type ListenUrls,
  type MemberAddresses,
  type MemberPlan,
} from './member-plan.ts';
import { decideStart, type StartDecision } from './start-decision.ts';

/** Why this member cannot start yet, and what to do. */
export class MemberNotReady extends Error {
  override readonly name = 'MemberNotReady';
}

export interface PrepareDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly connect: ConnectEtcd;
  /** Brings a snapshot of the bucket into a file, checked. */
  readonly fetchSnapshot: (key: string, file: string) => Promise<void>;
  /** Runs etcdutl; rejects with what it printed. */
  readonly etcdutl: (args: readonly string[]) => Promise<void>;
  /** Those of the plan unless given. */
  readonly addresses?: MemberAddresses;
}

export interface PrepareSettings {
  readonly plan: MemberPlan;
  /** Name of the member, which is its pod's. */
  readonly member: string;
  /** Where its volume is. */
  readonly folder: string;
  readonly listen: ListenUrls;
}

const waitMs = 60_000;
const retryMs = 2_000;

/** Resolves with what was decided when etcd can start. Throws MemberNotReady when it cannot yet. */
export async function prepareMember(
  settings: PrepareSettings,
  dependencies: PrepareDependencies,
): Promise<StartDecision['type']> {
  const { clock, logger } = dependencies;
  const member = new MemberVolume(settings, dependencies);
  const endMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const decision = await member.decide();
    logger.info({ member: settings.member, decision: decision.type }, 'decided how to start');
    const outcome = await member.act(decision);
    if (outcome === 'ready') return decision.type;
    if (outcome === 'again') continue;
    if (clock.monotonicMs() >= endMs) {
      throw new MemberNotReady(
        `${settings.member} cannot start: ${outcome.waitsFor}. docs/operations/etcd.md says what to do.`,
      );
    }
    await clock.sleep(retryMs);
  }
}

/** `again`: what is there changed, decide anew. */
type Outcome = 'ready' | 'again' | { readonly waitsFor: string };

class MemberVolume {
  readonly #settings: PrepareSettings;
  readonly #dependencies: PrepareDependencies;
  readonly #addresses: MemberAddresses;
  readonly #ordinal: number;

  constructor(settings: PrepareSettings, dependencies: PrepareDependencies) {
    const { plan, member } = settings;
    const ordinal = ordinalOf(plan, member);
    if (ordinal === undefined) throw new MemberNotReady(`${member} is no member of ${plan.name}`);
    this.#settings = settings;
    this.#dependencies = dependencies;
    this.#addresses = dependencies.addresses ?? addressesOf(plan);
    this.#ordinal = ordinal;
  }

  async decide(): Promise<StartDecision> {
    const { plan } = this.#settings;
    return decideStart({
      isWanted: this.#ordinal < plan.members,
      peerUrl: this.#peerUrl,
      hasData: existsSync(join(this.#path('data'), 'member')),
      dataClusterId: await this.#notedClusterId(),
      peers: (await this.#askPeers())?.membership,
      isInitialized: plan.isInitialized,
      restores: plan.restoreFrom !== undefined,
    });
  }

  async act(decision: StartDecision): Promise<Outcome> {
    switch (decision.type) {
      case 'start':
        await this.#writeConfig(undefined);
        return 'ready';
      case 'set-aside':
        await this.#setAside(decision.because);
        return 'again';
      case 'join':
        await this.#join(decision.peers);
        return 'ready';
      case 'replace': {
        const { id } = decision.lost;
        this.#dependencies.logger.warn({ memberId: id }, 'the data of this member is gone; it takes a new place');
        return this.#ofPeers((client) => client.remove(id));
      }
      case 'add':
        return this.#ofPeers((client) => client.addLearner(this.#peerUrl));
      case 'bootstrap':
        await this.#note(this.#firstClusterId());
        await this.#writeConfig(undefined);
        return 'ready';
      case 'restore':
        await this.#restore(this.#settings.plan.restoreFrom!);
        return 'ready';
      case 'wait':
        return { waitsFor: decision.because };
    }
  }

  get #peerUrl(): string {
    return this.#addresses.peer(this.#ordinal);
  }

  #path(what: keyof typeof memberPaths): string {
    return join(this.#settings.folder, memberPaths[what]);
  }

  /** The first of the others that can answer for a quorum. */
  async #askPeers() {
    const { plan } = this.#settings;
    const others = Array.from({ length: plan.members }, (_, ordinal) => ordinal).filter(
      (ordinal) => ordinal !== this.#ordinal,
    );
    const answers = await Promise.allSettled(
      others.map(async (ordinal) => {
        const client = this.#dependencies.connect(this.#addresses.client(ordinal));
        return { client, membership: await client.members() };
      }),
    );
    return answers.find((answer) => answer.status === 'fulfilled')?.value;
  }

  /** A change that etcd refuses for now, such as a second learner or one while members have only just met, is asked for again. */
  async #ofPeers(ask: (client: ReturnType<ConnectEtcd>) => Promise<unknown>): Promise<Outcome> {
    const peer = await this.#askPeers();
    if (peer === undefined) return { waitsFor: 'the other members have no quorum' };
    try {
      await ask(peer.client);
      return 'again';
    } catch (error) {
      if (error instanceof EtcdCallError) return { waitsFor: error.message };
      throw error;
    }
  }

  async #join({ clusterId, members }: EtcdMembership): Promise<void> {
    await rm(this.#path('data'), { recursive: true, force: true });
    await this.#note(clusterId);
    const { plan, member } = this.#settings;
    const known = members.map(({ id, name, peerUrls }) => {
      const peerUrl = peerUrls[0] ?? '';
      const ordinal = Array.from({ length: 9 }, (_, index) => index).find(
        (index) => this.#addresses.peer(index) === peerUrl,
      );
      const planned = ordinal === undefined ? `member-${id}` : memberName(plan, ordinal);
      return { name: peerUrl === this.#peerUrl ? member : name === '' ? planned : name, peerUrl };
    });
    await this.#writeConfig(initialCluster(known));
  }

  /** Beside the data, in one step, so that a restore that was cut off is no data. */
  async #restore(key: string): Promise<void> {
    const { plan, member } = this.#settings;
    const folder = this.#path('restore');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const [file, restored] = [join(folder, 'snapshot.db'), join(folder, 'etcd')];
    await this.#dependencies.fetchSnapshot(key, file);
    // Revisions are not moved on: brokers know by them that this etcd is of the past.
    await this.#dependencies.etcdutl([
      ...['snapshot', 'restore', file, '--data-dir', restored, '--name', member],
      ...['--initial-cluster', this.#firstMembers(), '--initial-cluster-token', plan.token],
      ...['--initial-advertise-peer-urls', this.#peerUrl],
    ]);
    await this.#note(this.#firstClusterId());
    await this.#writeConfig(undefined);
    await rm(this.#path('data'), { recursive: true, force: true });
    await rename(restored, this.#path('data'));
    await syncFolder(this.#settings.folder);
    await rm(folder, { recursive: true, force: true });
  }

  /** Kept until the next time, should somebody want it after all. */
  async #setAside(because: string): Promise<void> {
    const aside = `${this.#path('data')}.removed`;
    this.#dependencies.logger.warn({ folder: aside, because }, 'the data on the volume is set aside');
    await rm(aside, { recursive: true, force: true });
    await rename(this.#path('data'), aside);
    await syncFolder(this.#settings.folder);
  }

  #firstMembers(): string {
    const { plan } = this.#settings;
    return initialCluster(
      peersOf(plan, this.#addresses).map((peerUrl, ordinal) => ({ name: memberName(plan, ordinal), peerUrl })),
    );
  }

  #firstClusterId(): string {
    const { plan } = this.#settings;
    return clusterIdOf(peersOf(plan, this.#addresses), plan.token);
  }

  async #note(clusterId: string): Promise<void> {
    await writeWhole(this.#path('identity'), { clusterId });
  }

  async #notedClusterId(): Promise<string | undefined> {
    try {
      const noted = JSON.parse(await readFile(this.#path('identity'), 'utf8')) as { clusterId?: string };
      return noted.clusterId;
    } catch {
      return undefined;
    }
  }

  /** `members` where it joins others; the first members of all otherwise, which etcd reads only where it has no data. */
  async #writeConfig(members: string | undefined): Promise<void> {
    const { plan, member, listen } = this.#settings;
    await writeWhole(
      this.#path('config'),
      etcdConfig({
        ...{ plan, member, listen, dataFolder: this.#path('data') },
        clientUrl: this.#addresses.client(this.#ordinal),
        peerUrl: this.#peerUrl,
        initialCluster: members ?? this.#firstMembers(),
        isJoining: members !== undefined,
      }),
    );
  }
}

/** Whole or not at all, also after a power cut. */
async function writeWhole(file: string, content: object): Promise<void> {
  await writeFile(`${file}.new`, `${JSON.stringify(content, undefined, 2)}\n`, { flush: true });
  await rename(`${file}.new`, file);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
