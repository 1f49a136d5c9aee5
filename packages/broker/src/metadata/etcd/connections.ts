/**
 * Which member of etcd is asked: one at a time, and another one as soon as it fails or falls silent. Who is asked next is decided by
 * a race: every endpoint gets a new connection and a linearizable read, the one in doubt competes on the connection it has, and the
 * first that answers is it. So a member that hangs, or is cut off from the others, loses; one that is only slow stays.
 */
import { backoffDelayMs, type CancelTimer, type Clock, type Random } from '@kafscale/runtime';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import { EtcdConnection } from './connection.ts';
import { isHopeless } from './failure.ts';

export interface EtcdConnectionsSettings {
  /** `host:port` of the members. */
  readonly endpoints: readonly string[];
  /** Asked for at each new connection. */
  readonly credentials: () => ChannelCredentials;
  readonly clock: Clock;
  readonly random: Random;
  /** How long a call may wait for its answer until it is looked whether another member would answer. */
  readonly suspectAfterMs: number;
  /** Resolves when the member serves linearizable reads. */
  readonly probe: (connection: EtcdConnection, giveUpMs: number, signal: AbortSignal) => Promise<void>;
}

const lookEveryMs = 250;
const probeDeadlineMs = 2_000;
/** Head start in a race over the next; that of the one in doubt is shorter, since it has had its time. */
const staggerMs = 250;
const doubtedStaggerMs = 50;
const roundBackoff = { baseMs: 100, maxMs: 1_000 };

export class EtcdConnections {
  readonly #settings: EtcdConnectionsSettings;
  readonly #closing = new AbortController();
  /** Those in use or in a race. */
  readonly #connections = new Set<EtcdConnection>();
  #current: EtcdConnection | undefined;
  #race: Promise<void> | undefined;
  /** Rounds that nobody won, and those of them since somebody did. */
  #rounds = 0;
  #lostRounds = 0;
  #lastError: MetadataError | undefined;
  #closed: MetadataError | undefined;
  #cancelLook: CancelTimer | undefined;

  constructor(settings: EtcdConnectionsSettings) {
    this.#settings = settings;
  }

  /** The connection to use now. Throws MetadataError `unavailable` when there is none by `giveUpMs`, `aborted`. */
  async current(giveUpMs: number, signal: AbortSignal | undefined): Promise<EtcdConnection> {
    const { clock } = this.#settings;
    const roundsBefore = this.#rounds;
    for (;;) {
      if (this.#closed !== undefined) throw this.#closed;
      if (signal?.aborted) throw abortedError(signal);
      if (this.#race === undefined && this.#current !== undefined) return this.#current;
      const error = this.#lastError;
      const cannotHelp = error !== undefined && this.#rounds > roundsBefore && isHopeless(error);
      if (cannotHelp || clock.monotonicMs() >= giveUpMs) {
        throw new MetadataError('unavailable', error?.message ?? 'etcd cannot be reached', { cause: error });
      }
      this.#startRace();
      await this.#raceIsOver(giveUpMs, signal);
    }
  }

  /** Takes care that a call which waits on `connection` is noticed when it waits too long. */
  lookAfterWaiting(): void {
    this.#cancelLook ??= this.#settings.clock.schedule(lookEveryMs, () => this.#look());
  }

  /** The connection failed, or does not answer: it has to win a race before it is used again. */
  doubt(connection: EtcdConnection): void {
    if (connection === this.#current) this.#startRace();
  }

  /** Ends everything with `reason`, for good. */
  close(reason: MetadataError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#closing.abort(reason);
    this.#cancelLook?.();
    for (const connection of this.#connections) connection.abandon({ error: reason, remedy: 'nothing' });
    this.#connections.clear();
  }

  #look(): void {
    this.#cancelLook = undefined;
    const { clock, suspectAfterMs } = this.#settings;
    const nowMs = clock.monotonicMs();
    let anyWaits = false;
    for (const connection of this.#connections) {
      for (const waiting of [...connection.waiting]) {
        if (waiting.giveUpMs <= nowMs) {
          const waitedMs = Math.round(nowMs - waiting.sinceMs);
          const message = `etcd at ${connection.endpoint} did not answer within ${waitedMs} ms`;
          waiting.fail({ error: new MetadataError('unavailable', message), remedy: 'reconnect' });
        } else {
          anyWaits = true;
          if (nowMs - waiting.sinceMs >= suspectAfterMs) this.doubt(connection);
        }
      }
    }
    if (anyWaits) this.lookAfterWaiting();
  }

  #startRace(): void {
    if (this.#closed !== undefined) return;
    this.#race ??= this.#round(this.#current).finally(() => {
      this.#race = undefined;
    });
  }

  /** One round; the one in doubt stays when it answers first. Behind a round that nobody won comes a pause. */
  async #round(inDoubt: EtcdConnection | undefined): Promise<void> {
    const { clock, random } = this.#settings;
    const winner = await this.#firstToAnswer(inDoubt);
    if (this.#closed !== undefined) return;
    if (winner !== inDoubt && inDoubt !== undefined) {
      this.#current = undefined;
      const message = `etcd at ${inDoubt.endpoint} does not answer`;
      this.#drop(inDoubt, new MetadataError('unavailable', message, { cause: this.#lastError }));
    }
    if (winner !== undefined) {
      this.#current = winner;
      this.#lostRounds = 0;
      this.#lastError = undefined;
      return;
    }
    await clock
      .sleep(backoffDelayMs(this.#lostRounds, roundBackoff, random), this.#closing.signal)
      .catch(() => undefined);
    this.#lostRounds += 1;
    this.#rounds += 1;
  }

  #firstToAnswer(inDoubt: EtcdConnection | undefined): Promise<EtcdConnection | undefined> {
    const { clock, probe } = this.#settings;
    const over = new AbortController();
    const endpoints = this.#inRaceOrder(inDoubt?.endpoint);
    const starters: (() => EtcdConnection)[] = endpoints.map((endpoint) => () => this.#connect(endpoint));
    if (inDoubt !== undefined) starters.unshift(() => inDoubt);
    return new Promise((resolve) => {
      let running = starters.length;
      const startNext = (): void => {
        const starter = starters.shift();
        if (starter === undefined || over.signal.aborted || this.#closed !== undefined) return;
        const connection = starter();
        clock.schedule(connection === inDoubt ? doubtedStaggerMs : staggerMs, startNext);
        probe(connection, clock.monotonicMs() + probeDeadlineMs, over.signal).then(
          () => {
            if (over.signal.aborted) {
              if (connection !== inDoubt) this.#drop(connection, lateError);
              return;
            }
            over.abort();
            resolve(connection);
          },
          (error: unknown) => {
            if (connection !== inDoubt) this.#drop(connection, lateError);
            if (over.signal.aborted) return;
            this.#lastError = error instanceof MetadataError ? error : new MetadataError('unavailable', String(error));
            running -= 1;
            if (running === 0 || this.#closed !== undefined) resolve(undefined);
            else startNext();
          },
        );
        this.lookAfterWaiting();
      };
      startNext();
    });
  }

  /** In random order, so that many brokers spread over the members; the one in doubt last. */
  #inRaceOrder(inDoubt: string | undefined): string[] {
    const { endpoints, random } = this.#settings;
    const order = endpoints.filter((endpoint) => endpoint !== inDoubt);
    for (let index = order.length - 1; index > 0; index -= 1) {
      const other = random.int(index + 1);
      [order[index], order[other]] = [order[other]!, order[index]!];
    }
    return inDoubt === undefined ? order : [...order, inDoubt];
  }

  #connect(endpoint: string): EtcdConnection {
    const connection = new EtcdConnection({ endpoint, credentials: this.#settings.credentials });
    this.#connections.add(connection);
    return connection;
  }

  #drop(connection: EtcdConnection, error: MetadataError): void {
    this.#connections.delete(connection);
    connection.abandon({ error, remedy: 'reconnect' });
  }

  async #raceIsOver(giveUpMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#settings;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        cancelTimer();
        signal?.removeEventListener('abort', settle);
        resolve();
      };
      const cancelTimer = clock.schedule(Math.max(0, giveUpMs - clock.monotonicMs()), settle);
      signal?.addEventListener('abort', settle, { once: true });
      void this.#race?.then(settle);
      if (this.#race === undefined) settle();
    });
  }
}

const lateError = new MetadataError('unavailable', 'another member of etcd answered first');

const abortedError = ({ reason }: AbortSignal): MetadataError =>
  new MetadataError('aborted', 'the caller gave up', { cause: reason as unknown });
