/**
 * Who should own what: a pure plan from who does and who could. Every partition without an eligible owner gets one at once; what has
 * one moves only to even out the brokers, and only so many at a time. Whoever owns a partition keeps it where it can.
 */
import type { TopicId } from '../metadata/metadata-image.ts';

export interface EligibleBroker {
  readonly incarnation: string;
  /** Empty for none. */
  readonly rack: string;
  /** It keeps what it has; it is given more only where there are no others. */
  readonly cordoned?: boolean;
  /** What it does not keep, where there are others. Who has any is cordoned. */
  readonly drained?: ReadonlyMap<TopicId, ReadonlySet<number>>;
}

export interface TopicToAssign {
  readonly topicId: TopicId;
  /** Per partition who should own it as planned so far, and who does own it; empty for nobody. */
  readonly partitions: readonly { readonly assigned: string; readonly owner: string }[];
}

export interface PlanLimits {
  /** How many partitions that have an eligible owner may be moved to another. */
  readonly maxMoves: number;
}

/** The owners of each topic's partitions; only topics for which something changes. */
export type Plan = ReadonlyMap<TopicId, readonly string[]>;

/**
 * Without a limit on moves: every broker has as many partitions as any other, give or take one; and so it is with the partitions of
 * each topic, except where evening out a topic would take brokers out of that balance. Cordoned brokers are left as they are. A plan
 * made of its own result changes nothing. Without an eligible broker nothing changes.
 */
export function planAssignments(
  topics: readonly TopicToAssign[],
  brokers: readonly EligibleBroker[],
  { maxMoves }: PlanLimits,
): Plan {
  if (brokers.length === 0) return new Map();
  const board = new Board(topics, brokers);
  board.placeOrphans();
  let moves = 0;
  while (moves < maxMoves && board.moveToEvenBrokers()) moves += 1;
  if (moves < maxMoves) board.evenTopics(maxMoves - moves);
  return board.changes();
}

interface Seat {
  readonly index: number;
  readonly incarnation: string;
  readonly rack: number;
  readonly drained: EligibleBroker['drained'];
  total: number;
}

interface TopicBoard {
  readonly topic: TopicToAssign;
  /** Per partition the index of a seat; -1 for none. */
  readonly seats: number[];
  /** Per seat. */
  readonly counts: number[];
  /** Per rack. */
  readonly rackCounts: number[];
}

class Board {
  readonly #seats: readonly Seat[];
  /** Those that may be given more. */
  readonly #open: readonly Seat[];
  readonly #topics: readonly TopicBoard[];

  constructor(topics: readonly TopicToAssign[], brokers: readonly EligibleBroker[]) {
    const racks = [...new Set(brokers.map(({ rack }) => rack))];
    this.#seats = brokers.map(({ incarnation, rack, drained }, index) => {
      return { index, incarnation, rack: racks.indexOf(rack), drained, total: 0 };
    });
    this.#open = this.#seats.filter(({ index }) => brokers[index]!.cordoned !== true);
    const seatOf = new Map(this.#seats.map((seat) => [seat.incarnation, seat]));
    this.#topics = topics.map((topic) => ({
      topic,
      seats: topic.partitions.map(() => -1),
      counts: brokers.map(() => 0),
      rackCounts: racks.map(() => 0),
    }));
    for (const board of this.#topics) {
      for (const [partition, { assigned, owner }] of board.topic.partitions.entries()) {
        const seat = [assigned, owner]
          .map((incarnation) => seatOf.get(incarnation))
          .find((candidate) => {
            return candidate !== undefined && this.#mayKeep(candidate, board.topic.topicId, partition);
          });
        if (seat !== undefined) this.#place(board, partition, seat.index);
      }
    }
  }

  /** Each where the topic has the fewest partitions, then its rack has, then where there are the fewest at all. */
  placeOrphans(): void {
    const seats = this.#open.length > 0 ? this.#open : this.#seats;
    for (const board of this.#topics) {
      for (const [partition, seat] of board.seats.entries()) {
        if (seat >= 0) continue;
        const best = seats.reduce((left, right) => {
          const difference =
            board.counts[right.index]! - board.counts[left.index]! ||
            board.rackCounts[right.rack]! - board.rackCounts[left.rack]! ||
            right.total - left.total;
          return difference < 0 ? right : left;
        });
        this.#place(board, partition, best.index);
      }
    }
  }

  /** One partition from the fullest broker to the emptiest, of a topic that gains by it. False when there is nothing to even out. */
  moveToEvenBrokers(): boolean {
    if (this.#open.length < 2) return false;
    const fullest = this.#open.reduce((left, right) => (right.total > left.total ? right : left));
    const emptiest = this.#open.reduce((left, right) => (right.total < left.total ? right : left));
    if (fullest.total - emptiest.total < 2) return false;
    this.#move(this.#mostUneven(fullest, emptiest)!, fullest, emptiest);
    return true;
  }

  /** Spreads topics that are crowded on one broker, while the brokers stay as even as they are; up to `maxMoves` partitions. */
  evenTopics(maxMoves: number): void {
    let moves = 0;
    if (this.#open.length < 2) return;
    for (const board of this.#topics) {
      for (;;) {
        const [most, least] = this.#extremes(board);
        if (board.counts[most.index]! - board.counts[least.index]! < 2) break;
        const balanced = most.total > least.total;
        // Something has to come back for it, of a topic that does not lose by it.
        const back = balanced ? undefined : this.#mostUneven(least, most);
        if (!balanced && (back === undefined || back.counts[least.index]! <= back.counts[most.index]!)) break;
        moves += balanced ? 1 : 2;
        if (moves > maxMoves) return;
        this.#move(board, most, least);
        if (back !== undefined) this.#move(back, least, most);
      }
    }
  }

  changes(): Plan {
    const plan = new Map<TopicId, readonly string[]>();
    for (const { topic, seats } of this.#topics) {
      const owners = seats.map((seat) => this.#seats[seat]!.incarnation);
      if (owners.some((owner, partition) => owner !== topic.partitions[partition]!.assigned)) {
        plan.set(topic.topicId, owners);
      }
    }
    return plan;
  }

  /** Where `from` has the most partitions in comparison with `to`. Undefined when `from` has none at all. */
  #mostUneven(from: Seat, to: Seat): TopicBoard | undefined {
    let best: { readonly board: TopicBoard; readonly gain: number; readonly rackGain: number } | undefined;
    for (const board of this.#topics) {
      if (board.counts[from.index] === 0) continue;
      const gain = board.counts[from.index]! - board.counts[to.index]!;
      const rackGain = board.rackCounts[from.rack]! - board.rackCounts[to.rack]!;
      if (best === undefined || gain > best.gain || (gain === best.gain && rackGain > best.rackGain)) {
        best = { board, gain, rackGain };
      }
    }
    return best?.board;
  }

  /** The broker with the most partitions of the topic and the one with the fewest; of equal ones the fullest and the emptiest. */
  #extremes({ counts }: TopicBoard): readonly [Seat, Seat] {
    const difference = (left: Seat, right: Seat) =>
      counts[left.index]! - counts[right.index]! || left.total - right.total;
    return [
      this.#open.reduce((left, right) => (difference(right, left) > 0 ? right : left)),
      this.#open.reduce((left, right) => (difference(right, left) < 0 ? right : left)),
    ];
  }

  /** The highest partition of the topic that `from` has; one whose owner is `to` goes first, since it is there already. */
  #move(board: TopicBoard, from: Seat, to: Seat): void {
    const isMovable = (seat: number) => seat === from.index;
    const home = board.seats.findIndex((seat, partition) => {
      return isMovable(seat) && board.topic.partitions[partition]!.owner === to.incarnation;
    });
    const partition = home >= 0 ? home : board.seats.findLastIndex(isMovable);
    board.counts[from.index]! -= 1;
    board.rackCounts[from.rack]! -= 1;
    from.total -= 1;
    this.#place(board, partition, to.index);
  }

  #mayKeep({ drained }: Seat, topicId: TopicId, partition: number): boolean {
    return this.#open.length === 0 || drained?.get(topicId)?.has(partition) !== true;
  }

  #place(board: TopicBoard, partition: number, index: number): void {
    const seat = this.#seats[index]!;
    board.seats[partition] = index;
    board.counts[index]! += 1;
    board.rackCounts[seat.rack]! += 1;
    seat.total += 1;
  }
}
