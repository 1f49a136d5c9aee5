/**
 * Fetch sessions (KIP-227): the broker remembers which partitions a client fetches and what it was told of each, so that requests
 * carry only what changed and answers only what is new. A cache: a client whose session is gone starts over with a full fetch.
 */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import type { Clock, Random } from '@kafscale/runtime';

/** What a client wants from one partition, named by topic id where the version has them and else by name. */
export interface FetchPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly currentLeaderEpoch: number;
  readonly fetchOffset: number;
  readonly lastFetchedEpoch: number;
  readonly partitionMaxBytes: number;
}

export type PartitionName = Pick<FetchPartition, 'topic' | 'topicId' | 'partition'>;

/** What decides whether a partition has news for the client. */
export interface FetchNews {
  readonly recordBytes: number;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly isError: boolean;
  readonly isDiverging: boolean;
  /** The client is to read from another broker (KIP-392). */
  readonly isSentAway: boolean;
}

export interface SessionRequest {
  readonly sessionId: number;
  readonly sessionEpoch: number;
  readonly usesTopicIds: boolean;
  /** Each partition once; the last word on it counts. */
  readonly partitions: readonly FetchPartition[];
  readonly forgotten: readonly PartitionName[];
}

/** One fetch in or without a session. */
export interface FetchContext {
  /** What to read, in the order in which the bytes of the answer are shared out. */
  readonly partitions: readonly FetchPartition[];
  /**
   * Takes note of what each of `partitions`, in order, has to tell. Answers the session to name and which of them the answer
   * carries. Throws KafkaError INVALID_FETCH_SESSION_EPOCH when another request used the session meanwhile.
   */
  answer(news: readonly FetchNews[]): { readonly sessionId: number; readonly isIncluded: readonly boolean[] };
}

export interface FetchSessionSettings {
  readonly maxSessions: number;
  /** A session that was not used for so long gives way to a new one; one that is so old, to a larger one. */
  readonly evictionMs: number;
  /** Of all sessions together; a client that finds no room fetches without a session. */
  readonly maxPartitions: number;
}

const noSession = 0;
const initialEpoch = 0;
const finalEpoch = -1;
const maxEpoch = 2 ** 31 - 1;
const unknownOffset = -1;

interface CachedPartition {
  request: FetchPartition;
  /** As the client was told last. */
  highWatermark: number;
  logStartOffset: number;
}

interface Session {
  readonly id: number;
  readonly usesTopicIds: boolean;
  readonly createdMs: number;
  lastUsedMs: number;
  /** Of the next request. */
  epoch: number;
  /** Those that gave records move to the end, so that the others come first next time. */
  readonly partitions: Map<string, CachedPartition>;
}

/** The epoch of a session's next request; 0 and below have a meaning of their own. */
export const nextEpoch = (epoch: number) => (epoch === maxEpoch ? 1 : epoch + 1);

const keyOf = ({ topic, topicId, partition }: PartitionName, usesTopicIds: boolean) =>
  `${usesTopicIds ? topicId : topic}/${partition}`;

export class FetchSessions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #settings: FetchSessionSettings;
  /** The least recently used first. */
  readonly #sessions = new Map<number, Session>();
  #partitionCount = 0;

  constructor(clock: Clock, random: Random, settings: FetchSessionSettings) {
    this.#clock = clock;
    this.#random = random;
    this.#settings = settings;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Partitions of all sessions. */
  get partitionCount(): number {
    return this.#partitionCount;
  }

  /**
   * Throws KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, or FETCH_SESSION_TOPIC_ID_ERROR when the client
   * changed between topic names and ids.
   */
  begin(request: SessionRequest): FetchContext {
    const { sessionId, sessionEpoch } = request;
    if (sessionEpoch === initialEpoch || sessionEpoch === finalEpoch) {
      this.#remove(this.#sessions.get(sessionId));
      return sessionEpoch === finalEpoch ? sessionless(request.partitions) : this.#full(request);
    }
    const session = this.#sessions.get(sessionId);
    if (session === undefined) throw new KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND);
    if (session.epoch !== sessionEpoch) throw new KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH);
    if (session.usesTopicIds !== request.usesTopicIds) throw new KafkaError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR);
    this.#update(session, request);
    if (session.partitions.size === 0) {
      this.#remove(session);
      return sessionless(request.partitions);
    }
    if (this.#partitionCount > this.#settings.maxPartitions) {
      this.#remove(session);
      throw new KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND);
    }
    return this.#incremental(session);
  }

  #full({ partitions, usesTopicIds }: SessionRequest): FetchContext {
    return {
      partitions,
      answer: (news) => ({
        sessionId: this.#create(partitions, news, usesTopicIds),
        isIncluded: partitions.map(() => true),
      }),
    };
  }

  #incremental(session: Session): FetchContext {
    this.#sessions.delete(session.id); // A Map keeps the order of insertion: now it is the most recently used.
    this.#sessions.set(session.id, session);
    session.lastUsedMs = this.#clock.monotonicMs();
    session.epoch = nextEpoch(session.epoch);
    const { epoch } = session;
    const cached = [...session.partitions];
    return {
      partitions: cached.map(([, { request }]) => request),
      answer(news) {
        if (session.epoch !== epoch) throw new KafkaError(ErrorCode.INVALID_FETCH_SESSION_EPOCH);
        const isIncluded = cached.map(([key, partition], index) => {
          const { recordBytes } = news[index]!;
          if (recordBytes > 0 && session.partitions.delete(key)) session.partitions.set(key, partition);
          return takeNote(partition, news[index]!);
        });
        return { sessionId: session.id, isIncluded };
      },
    };
  }

  #update(session: Session, { partitions, forgotten, usesTopicIds }: SessionRequest): void {
    const { size } = session.partitions;
    for (const request of partitions) {
      const key = keyOf(request, usesTopicIds);
      const known = session.partitions.get(key);
      if (known !== undefined) known.request = request;
      else session.partitions.set(key, { request, highWatermark: unknownOffset, logStartOffset: unknownOffset });
    }
    for (const name of forgotten) session.partitions.delete(keyOf(name, usesTopicIds));
    this.#partitionCount += session.partitions.size - size;
  }

  /** The id of a new session, or 0 when there is no room for one. */
  #create(requests: readonly FetchPartition[], news: readonly FetchNews[], usesTopicIds: boolean): number {
    if (!this.#makeRoom(requests.length)) return noSession;
    const nowMs = this.#clock.monotonicMs();
    const partitions = new Map<string, CachedPartition>();
    for (const [index, request] of requests.entries()) {
      const partition = { request, highWatermark: unknownOffset, logStartOffset: unknownOffset };
      takeNote(partition, news[index]!);
      partitions.set(keyOf(request, usesTopicIds), partition);
    }
    const epoch = nextEpoch(initialEpoch);
    const session = { id: this.#newId(), usesTopicIds, createdMs: nowMs, lastUsedMs: nowMs, epoch, partitions };
    this.#sessions.set(session.id, session);
    this.#partitionCount += partitions.size;
    return session.id;
  }

  #makeRoom(partitionCount: number): boolean {
    const { maxSessions, maxPartitions } = this.#settings;
    if (partitionCount === 0 || maxSessions === 0) return false;
    if (this.#sessions.size >= maxSessions) {
      const evicted = this.#evictable(partitionCount);
      if (evicted === undefined) return false;
      this.#remove(evicted);
    }
    return this.#partitionCount + partitionCount <= maxPartitions;
  }

  /** As Kafka chooses: the one unused for longest when that is long enough, else the smallest of the old ones when it is smaller. */
  #evictable(partitionCount: number): Session | undefined {
    const nowMs = this.#clock.monotonicMs();
    const { evictionMs } = this.#settings;
    let smallest: Session | undefined;
    for (const session of this.#sessions.values()) {
      if (nowMs - session.lastUsedMs > evictionMs) return session; // The first is the least recently used.
      if (nowMs - session.createdMs <= evictionMs) continue;
      if (smallest === undefined || session.partitions.size < smallest.partitions.size) smallest = session;
    }
    return smallest !== undefined && smallest.partitions.size < partitionCount ? smallest : undefined;
  }

  #remove(session: Session | undefined): void {
    if (session === undefined || !this.#sessions.delete(session.id)) return;
    this.#partitionCount -= session.partitions.size;
    session.epoch = finalEpoch; // An answer still under way must not bring it back.
  }

  #newId(): number {
    for (;;) {
      const id = 1 + this.#random.int(maxEpoch);
      if (!this.#sessions.has(id)) return id;
    }
  }
}

function sessionless(partitions: readonly FetchPartition[]): FetchContext {
  return { partitions, answer: () => ({ sessionId: noSession, isIncluded: partitions.map(() => true) }) };
}

/** Whether there is news since the client was told last; remembers what it is told now. */
function takeNote(partition: CachedPartition, news: FetchNews): boolean {
  const hasNews =
    news.recordBytes > 0 ||
    news.isError ||
    news.isDiverging ||
    news.isSentAway ||
    news.highWatermark !== partition.highWatermark ||
    news.logStartOffset !== partition.logStartOffset;
  // After an error the partition is told again when the error is gone.
  partition.highWatermark = news.isError ? unknownOffset : news.highWatermark;
  partition.logStartOffset = news.logStartOffset;
  return hasNews;
}
