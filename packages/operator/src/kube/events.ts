/**
 * Events (events.k8s.io/v1) about our resources: what `kubectl describe` shows. The same event again becomes a count on the first one,
 * and a storm of them is cut off, so that trouble never turns into load on the API server. An event that cannot be written is dropped.
 */
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { microTime } from './conditions.ts';
import type { KubeClient } from './kube-client.ts';
import { isKubeError } from './kube-error.ts';
import { kinds, type Event } from './kinds.ts';
import { nameOf, type Kind, type KubeObject, type Stored } from './kube-object.ts';
import { RateLimit } from './rate-limit.ts';

export interface EventNote {
  /** `Warning` for what somebody should look at. */
  readonly type: 'Normal' | 'Warning';
  /** Why, in CamelCase; stable, since people alert on it. */
  readonly reason: string;
  /** What the operator did or tried, in CamelCase, such as `Drain`. */
  readonly action: string;
  /** One sentence for people. */
  readonly note: string;
}

export interface EventRecorderSettings {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Who reports, such as `kafscale.io/operator`. */
  readonly controller: string;
  /** Which one of them: the pod's name. */
  readonly instance: string;
}

interface Series {
  /** The event in the API once it is written. */
  readonly written: Promise<Stored<Event> | undefined>;
  count: number;
  /** Count that the API knows. */
  told: number;
  toldMs: number;
  lastMs: number;
}

const longestNote = 1024;
const longestReason = 128;
/** After so long without a repeat the next one is a new event. */
const seriesEndsMs = 360_000;
/** At most one update of a count in this time. */
const tellCountEveryMs = 30_000;
const mostSeries = 1000;
/** All events together. */
const eventsPerSecond = 2;
const eventBurst = 50;
/** Of one object: a burst, then one each 20 s. */
const perObjectBurst = 20;
const perObjectPerSecond = 0.05;
const mostPending = 100;

export class EventRecorder {
  readonly #settings: EventRecorderSettings;
  readonly #logger: Logger;
  /** In the order of their last use. */
  readonly #series = new Map<string, Series>();
  readonly #rate: RateLimit;
  readonly #objectRates = new Map<string, RateLimit>();
  readonly #pending = new Set<Promise<unknown>>();

  constructor(settings: EventRecorderSettings) {
    this.#settings = settings;
    this.#logger = settings.logger.child({ component: 'events' });
    this.#rate = new RateLimit({ clock: settings.clock, perSecond: eventsPerSecond, burst: eventBurst });
  }

  /** Reports; returns at once. False when it was cut off. */
  record<T extends KubeObject>(kind: Kind<T>, object: Stored<T>, event: EventNote): boolean {
    const { clock } = this.#settings;
    const nowMs = clock.monotonicMs();
    const key = JSON.stringify([object.metadata.uid, event.type, event.reason, event.action, event.note]);
    const series = this.#series.get(key);
    if (series !== undefined && nowMs - series.lastMs < seriesEndsMs) {
      series.count += 1;
      series.lastMs = nowMs;
      this.#touch(key, series);
      if (nowMs - series.toldMs >= tellCountEveryMs) this.#tellCount(series);
      return true;
    }
    if (this.#pending.size >= mostPending || !this.#objectRate(object.metadata.uid).take() || !this.#rate.take()) {
      return false;
    }
    const written = this.#write(kind, object, event);
    this.#touch(key, { written, count: 1, told: 1, toldMs: nowMs, lastMs: nowMs });
    return true;
  }

  /** Resolves when what was recorded so far is written, counts included, or was given up. */
  async flush(): Promise<void> {
    for (const series of this.#series.values()) if (series.count > series.told) this.#tellCount(series);
    await Promise.all(this.#pending);
  }

  #touch(key: string, series: Series): void {
    this.#series.delete(key);
    this.#series.set(key, series);
    for (const [oldest] of this.#series) {
      if (this.#series.size <= mostSeries) return;
      this.#series.delete(oldest);
    }
  }

  #objectRate(uid: string): RateLimit {
    const { clock } = this.#settings;
    let rate = this.#objectRates.get(uid);
    rate ??= new RateLimit({ clock, perSecond: perObjectPerSecond, burst: perObjectBurst });
    this.#objectRates.delete(uid);
    this.#objectRates.set(uid, rate);
    for (const [oldest] of this.#objectRates) {
      if (this.#objectRates.size <= mostSeries) break;
      this.#objectRates.delete(oldest);
    }
    return rate;
  }

  #write<T extends KubeObject>(kind: Kind<T>, object: Stored<T>, event: EventNote): Promise<Stored<Event> | undefined> {
    const { client, clock, random, controller, instance } = this.#settings;
    const { name, namespace = 'default', uid, resourceVersion } = object.metadata;
    const writing = this.#persistently(() =>
      client.create(kinds.Event, {
        metadata: { name: `${name.slice(0, 200)}.${random.bytes(8).toString('hex')}`, namespace },
        eventTime: microTime(clock.wallMs()),
        reportingController: controller,
        reportingInstance: instance.slice(0, longestReason),
        action: event.action.slice(0, longestReason),
        reason: event.reason.slice(0, longestReason),
        type: event.type,
        note: event.note.slice(0, longestNote),
        regarding: { apiVersion: kind.apiVersion, kind: kind.kind, name, namespace, uid, resourceVersion },
      }),
    );
    return this.#track(writing);
  }

  #tellCount(series: Series): void {
    const { client, clock } = this.#settings;
    const { count } = series;
    series.told = count;
    series.toldMs = clock.monotonicMs();
    const lastObservedTime = microTime(clock.wallMs());
    const telling = series.written.then((event) =>
      event === undefined
        ? undefined
        : this.#persistently(() => client.patch(kinds.Event, nameOf(event), { series: { count, lastObservedTime } })),
    );
    void this.#track(telling);
  }

  #track<Result>(work: Promise<Result>): Promise<Result> {
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
    return work;
  }

  /** Tries three times while the server cannot answer, then lets the event go. */
  async #persistently<Result>(write: () => Promise<Result>): Promise<Result | undefined> {
    const { clock, random } = this.#settings;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await write();
      } catch (error) {
        if (attempt === 2 || !isKubeError(error, 'unavailable', 'too-many-requests')) {
          this.#logger.debug({ err: error }, 'an event is dropped');
          return undefined;
        }
        await clock.sleep(1000 + backoffDelayMs(attempt, { baseMs: 1000, maxMs: 10_000 }, random));
      }
    }
  }
}
