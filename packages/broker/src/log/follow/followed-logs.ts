/**
 * Logs that other brokers write, as a broker that only reads knows them (KIP-392): put together from the metadata at one revision when
 * a consumer first asks for them, then kept up by one watch over manifests and partition records, in the order of revisions. The watch
 * is a hint: once a minute, and whenever it broke or showed something that does not fit, everything is read again at one revision.
 * High watermarks are what the metadata was known to say, never more; cut off from it they stay where they are.
 */
import { decodeManifestOf, metadata, metadataKeys, metadataPrefixes, type WantedPartitions } from '@kafscale/protocol';
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { prefixEnd, type MetadataStore, type Revision, type WatchBatch } from '../../metadata/metadata-store.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import { PartitionLog } from '../partition-log.ts';
import type { RecoveryResult } from '../upkeep/recovery.ts';
import { describeFlush, extentOfFlush } from '../upkeep/stored-manifests.ts';
import { appendFollowed, canAdvance, foldFollowed } from './advance-log.ts';
import { readFollowed, type FollowedName } from './read-followed.ts';

export interface FollowedLogsDependencies {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** How long one read of a store may take. */
  readonly callDeadlineMs: number;
  /** Logs that are followed at a time; whoever asks for more is sent to the leaders. */
  readonly maxLogs: number;
}

interface Followed extends FollowedName {
  log?: PartitionLog | undefined;
  usedMs: number;
  /** A log that could not be put together is left alone for a while. */
  retryMs: number;
  /** Who waits for what comes of the next read. */
  readonly waiting: Set<() => void>;
}

/** Both prefixes in one range, so that one watch shows both in the order of revisions; no other keys lie between them. */
const watched = { key: metadataPrefixes.manifests, end: prefixEnd(metadataPrefixes.partitions) };
const readAgainMs = 60_000;
/** What nobody read for so long is not followed any more. */
const idleMs = 5 * 60_000;
const faultMs = 5_000;
const retryBackoff = { baseMs: 100, maxMs: 5_000 };

export class FollowedLogs {
  readonly #dependencies: FollowedLogsDependencies;
  readonly #closing = new AbortController();
  /** By the key of the partition's record. */
  readonly #followed = new Map<string, Followed>();
  readonly #running: Promise<void>;
  /** Ends what the loop waits for: something is to be read. */
  #wake: () => void = () => undefined;

  constructor(dependencies: FollowedLogsDependencies) {
    this.#dependencies = dependencies;
    this.#running = this.#run();
  }

  /** Logs that are open. */
  get count(): number {
    let count = 0;
    for (const { log } of this.#followed.values()) if (log !== undefined && !log.closed) count += 1;
    return count;
  }

  /** The log, put together first if need be; undefined when that takes longer than `waitMs` or cannot be done now. */
  async find(name: FollowedName, waitMs: number): Promise<PartitionLog | undefined> {
    const { clock, maxLogs } = this.#dependencies;
    const key = metadataKeys.partition(name.topicId, name.partition);
    const nowMs = clock.monotonicMs();
    const known = this.#followed.get(key);
    if (known === undefined && this.#followed.size >= maxLogs) return undefined;
    const followed = known ?? { ...name, usedMs: nowMs, retryMs: nowMs, waiting: new Set<() => void>() };
    followed.usedMs = nowMs;
    if (this.#openLog(followed) !== undefined) return followed.log;
    if (this.#closing.signal.aborted || followed.retryMs > nowMs) return undefined;
    this.#followed.set(key, followed);
    await new Promise<void>((resolve) => {
      const finish = () => {
        cancelTimer();
        followed.waiting.delete(finish);
        resolve();
      };
      const cancelTimer = clock.schedule(waitMs, finish);
      followed.waiting.add(finish);
      this.#wake();
    });
    return this.#openLog(followed);
  }

  /** Closes the logs: waiting fetches are woken. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('logs are not followed any more'));
    this.#wake();
    for (const [key, followed] of this.#followed) this.#drop(key, followed);
    await this.#running;
  }

  #openLog({ log }: Followed): PartitionLog | undefined {
    return log === undefined || log.closed ? undefined : log;
  }

  async #run(): Promise<void> {
    const { clock, random, logger } = this.#dependencies;
    const { signal } = this.#closing;
    const isClosed = () => signal.aborted;
    for (let failures = 0; !isClosed();) {
      this.#dropIdle();
      const startedMs = clock.monotonicMs();
      try {
        if (this.#followed.size === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
        else await this.#follow(await this.#readAll());
        failures = 0;
      } catch (error) {
        if (isClosed()) return;
        logger.warn({ err: error }, 'the logs of other brokers could not be followed; reading again');
        failures = clock.monotonicMs() - startedMs < retryBackoff.maxMs ? failures + 1 : 1;
        await clock.sleep(backoffDelayMs(failures - 1, retryBackoff, random), signal).catch(() => undefined);
      }
    }
  }

  /** Brings every log up to one revision, and opens those that are asked for. Throws when a store does not answer. */
  async #readAll(): Promise<Revision> {
    const entries = [...this.#followed];
    const names = entries.map(([, followed]) => followed);
    const { revision, partitions } = await readFollowed(names, this.#dependencies);
    if (this.#closing.signal.aborted) return revision;
    for (const [index, [key, followed]] of entries.entries()) {
      const found = partitions[index];
      if (found === undefined) this.#drop(key, followed);
      else this.#bringUp(followed, found.leaderEpoch, found.result);
      for (const finish of [...followed.waiting]) finish();
    }
    return revision;
  }

  #bringUp(followed: Followed, leaderEpoch: number, result: RecoveryResult): void {
    const { logger, clock } = this.#dependencies;
    const { topicId, topicName, partition, log } = followed;
    if (result.fault !== undefined) {
      logger.error({ topic: topicName, partition, fault: result.fault }, 'a log cannot be followed');
      followed.retryMs = clock.monotonicMs() + faultMs;
      log?.close();
      return;
    }
    const isCurrent = log !== undefined && !log.closed && log.leaderEpoch === leaderEpoch;
    if (isCurrent && canAdvance(log, result.recovered)) return;
    followed.log = new PartitionLog({ topicId, topicName, partition, leaderEpoch }, result.recovered);
    log?.close();
  }

  /** Applies what the watch shows behind `revision` until everything is to be read again. Throws when the watch broke or does not fit. */
  async #follow(revision: Revision): Promise<void> {
    const { store, clock } = this.#dependencies;
    const isAskedFor = ({ log, waiting }: Followed) => waiting.size > 0 && (log === undefined || log.closed);
    const round = new AbortController();
    this.#wake = () => round.abort();
    if (this.#closing.signal.aborted || [...this.#followed.values()].some(isAskedFor)) return;
    const cancelTimer = clock.schedule(readAgainMs, this.#wake);
    const wanted = this.#wanted();
    try {
      for await (const batch of store.watch(watched, revision + 1, round.signal)) {
        if (round.signal.aborted || !(await this.#apply(batch, wanted))) return;
      }
      if (!round.signal.aborted) throw new Error('the watch ended');
    } finally {
      cancelTimer();
      this.#wake = () => undefined;
    }
  }

  #wanted(): WantedPartitions {
    const byTopic = new Map<string, Set<number>>();
    for (const { topicId, partition } of this.#followed.values()) {
      byTopic.set(topicId, (byTopic.get(topicId) ?? new Set()).add(partition));
    }
    return (topicId) => byTopic.get(topicId);
  }

  /** All of one revision. False when a partition began another epoch. */
  async #apply({ events }: WatchBatch, wanted: WantedPartitions): Promise<boolean> {
    for (const event of events) {
      if (event.type !== 'put' || !event.kv.key.startsWith(metadataPrefixes.manifests)) continue;
      await this.#applyManifest(decodeManifestOf(event.kv.value, wanted), wanted);
    }
    for (const event of events) {
      const key = event.type === 'put' ? event.kv.key : event.key;
      const followed = this.#followed.get(key);
      if (followed === undefined) continue;
      if (event.type === 'delete') {
        this.#drop(key, followed);
        continue;
      }
      const log = this.#openLog(followed);
      if (log === undefined) continue;
      const record = metadata.PartitionRecord.decode(event.kv.value);
      if (record.leaderEpoch !== log.leaderEpoch) return false;
      foldFollowed(log, record);
    }
    return true;
  }

  async #applyManifest(manifest: metadata.FlushManifest, wanted: WantedPartitions): Promise<void> {
    const { topics } = await describeFlush(manifest, this.#dependencies, wanted);
    for (const topic of topics) {
      const topicId = topic.topicId.toString('base64url');
      for (const extent of topic.extents) {
        const followed = this.#followed.get(metadataKeys.partition(topicId, extent.partition));
        const log = followed && this.#openLog(followed);
        if (log !== undefined) appendFollowed(log, extentOfFlush(manifest.objectKey, extent));
      }
    }
  }

  #dropIdle(): void {
    const sinceMs = this.#dependencies.clock.monotonicMs() - idleMs;
    for (const [key, followed] of this.#followed) if (followed.usedMs < sinceMs) this.#drop(key, followed);
  }

  #drop(key: string, followed: Followed): void {
    this.#followed.delete(key);
    followed.log?.close();
    for (const finish of [...followed.waiting]) finish();
  }
}
