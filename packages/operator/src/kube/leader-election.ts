/**
 * Which of several operators acts: the one whose name is in a Lease that it keeps renewing. Another may take the lease only after it
 * has seen it unrenewed for the whole lease duration by its own clock; the holder stops writing well before that, at the renew
 * deadline counted from the start of its last successful renewal.
 */
import type { Clock, Logger, Random } from '@kafscale/runtime';
import type { OperatorMetrics } from '../metrics/metrics.ts';
import { microTime } from './conditions.ts';
import type { KubeClient } from './kube-client.ts';
import { isKubeError } from './kube-error.ts';
import type { ObjectName, Stored } from './kube-object.ts';
import { kinds, type Lease } from './kinds.ts';
import { WriteFence } from './write-fence.ts';

export interface LeaderElectionSettings {
  /** Not fenced: the lease itself is written before anybody leads. */
  readonly client: Pick<KubeClient, 'find' | 'create' | 'replace'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<OperatorMetrics, 'leader'>;
  readonly lease: ObjectName & { readonly namespace: string };
  /** Names this very process; never used by another one, not even by the next in the same pod. */
  readonly identity: string;
  readonly leaseDurationMs?: number;
  /** Without a renewal for so long, the holder stops; well below the lease duration. */
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  /** A term begins: writes pass the fence from now on, until `signal` aborts. */
  readonly onElected: (signal: AbortSignal) => void;
}

interface Observed {
  /** Holder, times and version as one text: what changes with every renewal. */
  readonly record: string;
  readonly sinceMs: number;
}

export class LeaderElection {
  readonly fence: WriteFence;
  readonly #settings: LeaderElectionSettings;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryMs: number;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #observed: Observed | undefined;
  /** As we wrote it last; undefined while we do not hold it. */
  #held: Stored<Lease> | undefined;

  constructor(settings: LeaderElectionSettings) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2_000 } = settings;
    if (renewDeadlineMs >= leaseDurationMs || retryMs >= renewDeadlineMs) {
      throw new RangeError('a lease needs retry < renew deadline < lease duration');
    }
    this.#settings = settings;
    this.#leaseDurationMs = leaseDurationMs;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.#retryMs = retryMs;
    this.#logger = settings.logger.child({ component: 'leader-election', lease: settings.lease.name });
    this.fence = new WriteFence(settings.clock);
    this.#showLeading(false);
  }

  get leads(): boolean {
    return this.fence.remainingMs > 0;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops writing at once and gives the lease back, so that another need not wait for its end. Call it when all work has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the election stops'));
    this.fence.close('the operator stops');
    this.#showLeading(false);
    await this.#running;
    await this.#release();
  }

  async #run(): Promise<void> {
    const { clock, random } = this.#settings;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#round();
      if (this.#held !== undefined && this.fence.remainingMs === 0) this.#lose('no renewal in time');
      const delayMs = this.#held === undefined ? this.#retryMs * (1 + 0.2 * random.float()) : this.#retryMs;
      await clock.sleep(delayMs, signal).catch(() => undefined);
    }
  }

  /** One attempt to renew or to acquire. */
  async #round(): Promise<void> {
    const startedMs = this.#settings.clock.monotonicMs();
    try {
      const held = this.#held;
      if (held === undefined) await this.#acquire(startedMs);
      else await this.#renew(held, startedMs);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      if (this.#held === undefined) this.#logger.info({ err: error }, 'the lease could not be read or taken');
      else this.#logger.warn({ err: error, leftMs: this.fence.remainingMs }, 'the lease could not be renewed');
    }
  }

  async #acquire(startedMs: number): Promise<void> {
    const { client, clock, lease, identity } = this.#settings;
    const found = await client.find(kinds.Lease, lease, this.#callOptions());
    if (found === undefined) {
      const created = await client
        .create(kinds.Lease, { metadata: lease, spec: this.#spec(undefined) }, this.#callOptions())
        .catch(rivalWasFaster);
      if (created !== undefined) this.#won(created, startedMs);
      return;
    }
    const record = JSON.stringify([found.metadata.uid, found.metadata.resourceVersion, found.spec]);
    if (this.#observed?.record !== record) this.#observed = { record, sinceMs: clock.monotonicMs() };
    const { holderIdentity = '', leaseDurationSeconds } = found.spec ?? {};
    const durationMs = leaseDurationSeconds === undefined ? this.#leaseDurationMs : leaseDurationSeconds * 1000;
    const expired = clock.monotonicMs() - this.#observed.sinceMs >= durationMs;
    if (holderIdentity !== '' && holderIdentity !== identity && !expired) return;
    const taken = await client
      .replace(kinds.Lease, { ...found, spec: this.#spec(found) }, this.#callOptions())
      .catch(rivalWasFaster);
    if (taken !== undefined) this.#won(taken, startedMs);
  }

  async #renew(held: Stored<Lease>, startedMs: number): Promise<void> {
    const { client, lease, identity } = this.#settings;
    const renewed = await client
      .replace(kinds.Lease, { ...held, spec: this.#spec(held) }, this.#callOptions())
      .catch(rivalWasFaster);
    if (renewed !== undefined) return this.#renewed(renewed, startedMs);
    // Somebody wrote in between: another holder, or an earlier renewal of ours whose answer was lost, or an annotation.
    const found = await client.find(kinds.Lease, lease, this.#callOptions());
    if (found?.spec?.holderIdentity !== identity) return this.#lose('another operator holds the lease');
    const again = await client
      .replace(kinds.Lease, { ...found, spec: this.#spec(found) }, this.#callOptions())
      .catch(rivalWasFaster);
    if (again !== undefined) this.#renewed(again, startedMs);
  }

  #won(lease: Stored<Lease>, startedMs: number): void {
    if (this.#stopping.signal.aborted) {
      this.#held = lease;
      return;
    }
    this.#renewed(lease, startedMs);
    if (this.fence.remainingMs === 0) return this.#lose('taking the lease took too long');
    this.#showLeading(true);
    this.#logger.info({ identity: this.#settings.identity }, 'this operator leads');
    this.#settings.onElected(this.fence.signal);
  }

  /** The time counts from before the renewal was sent: the rival's clock cannot have begun earlier. */
  #renewed(lease: Stored<Lease>, startedMs: number): void {
    this.#held = lease;
    if (!this.#stopping.signal.aborted) this.fence.open(startedMs + this.#renewDeadlineMs);
  }

  #lose(why: string): void {
    this.#held = undefined;
    this.#observed = undefined;
    this.fence.close(why);
    this.#showLeading(false);
    this.#logger.warn({ why }, 'this operator leads no longer');
  }

  async #release(): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const spec = { ...this.#spec(held), holderIdentity: '', leaseDurationSeconds: 1 };
    const released = this.#settings.client.replace(kinds.Lease, { ...held, spec }, { deadlineMs: this.#retryMs });
    await released.catch((error: unknown) => this.#logger.info({ err: error }, 'the lease was not given back'));
  }

  #spec(before: Stored<Lease> | undefined): NonNullable<Lease['spec']> {
    const { clock, identity } = this.#settings;
    const now = microTime(clock.wallMs());
    const { holderIdentity, acquireTime, leaseTransitions = 0 } = before?.spec ?? {};
    const stays = holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1000),
      acquireTime: stays && acquireTime !== undefined ? acquireTime : now,
      renewTime: now,
      leaseTransitions: before === undefined || stays ? leaseTransitions : leaseTransitions + 1,
    };
  }

  /** A call that hangs must leave time for another one before the deadline. */
  #callOptions() {
    return { deadlineMs: Math.max(this.#retryMs, this.#renewDeadlineMs / 3), signal: this.#stopping.signal };
  }

  #showLeading(leading: boolean): void {
    this.#settings.metrics.leader.set({ name: this.#settings.lease.name }, leading ? 1 : 0);
  }
}

function rivalWasFaster(error: unknown): undefined {
  if (isKubeError(error, 'conflict', 'already-exists', 'not-found')) return undefined;
  throw error;
}
