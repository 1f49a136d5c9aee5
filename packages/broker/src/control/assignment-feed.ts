/**
 * Who owns what and who is to own it, as it is now and then each change, for those who watch. It is read from the image, which all
 * brokers have: so it goes on whoever is the controller. Somebody who does not keep up is told so and left behind.
 */
import type { AssignmentStatus, AssignmentUpdate } from '@kafscale/protocol';
import type { ClusterImage, ImageChange, TopicId } from '../metadata/metadata-image.ts';

interface PartitionState {
  readonly update: AssignmentUpdate;
  /** Whom it concerns: the owner's id and that of who is to own it. */
  readonly brokerIds: readonly number[];
}

export interface AssignmentWatcher {
  /** The next one, or undefined when there is none at the moment. */
  next(): AssignmentUpdate | undefined;
  /** More changes came than were taken, and some are lost: what follows makes no sense any more. */
  readonly isBehind: boolean;
  close(): void;
}

interface Watching {
  readonly push: (now: PartitionState, before: PartitionState | undefined) => void;
}

/** Changes that a watcher may be behind. */
const maxQueued = 20_000;

export class AssignmentFeed {
  readonly #image: ClusterImage;
  readonly #topics = new Map<TopicId, PartitionState[]>();
  readonly #watchers = new Set<Watching>();
  #stopListening: (() => void) | undefined;

  constructor(image: ClusterImage) {
    this.#image = image;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** `onMore` runs when there may be a next one again. All brokers' without an id. */
  watch(brokerId: number | undefined, onMore: () => void): AssignmentWatcher {
    if (this.#stopListening === undefined) {
      this.#stopListening = this.#image.onChange((change) => this.#changed(change));
      this.#look(undefined);
    }
    const concerns = (state: PartitionState | undefined) =>
      state !== undefined && (brokerId === undefined || state.brokerIds.includes(brokerId));
    const first = [...this.#topics.values()].flatMap((states) => states.filter(concerns).map(({ update }) => update));
    let [queue, taken, isBehind] = [first, 0, false];
    let waiting = 0;
    const watching: Watching = {
      push: (now, before) => {
        if (isBehind || !(concerns(now) || concerns(before))) return;
        queue.push(now.update);
        waiting += 1;
        isBehind = waiting > maxQueued;
        onMore();
      },
    };
    this.#watchers.add(watching);
    return {
      next: () => {
        const update = queue[taken];
        if (update === undefined) return undefined;
        taken += 1;
        if (taken === queue.length) [queue, taken] = [[], 0];
        waiting = Math.min(waiting, queue.length - taken);
        return update;
      },
      get isBehind() {
        return isBehind;
      },
      close: () => {
        this.#watchers.delete(watching);
        if (this.#watchers.size > 0) return;
        this.#stopListening?.();
        this.#stopListening = undefined;
        this.#topics.clear();
      },
    };
  }

  #changed({ topicIds }: ImageChange): void {
    this.#look(topicIds);
  }

  /** At these topics, or at all. */
  #look(topicIds: ReadonlySet<TopicId> | undefined): void {
    const all =
      topicIds ?? new Set([...this.#topics.keys(), ...[...this.#image.topics()].map(({ topicId }) => topicId)]);
    for (const topicId of all) this.#lookAt(topicId);
  }

  #lookAt(topicId: TopicId): void {
    const topic = this.#image.topicById(topicId);
    const before = this.#topics.get(topicId) ?? [];
    if (topic === undefined) {
      this.#topics.delete(topicId);
      for (const state of before) {
        const gone = { ...state.update, brokerId: -1, status: 'unowned' };
        if (state.update.status !== 'unowned') this.#push({ update: gone, brokerIds: [] }, state);
      }
      return;
    }
    const states: PartitionState[] = [];
    for (let partition = 0; partition < topic.partitionCount; partition += 1) {
      const was = before[partition];
      const now = this.#stateOf(topicId, topic.name, partition);
      const isSame = was !== undefined && isEqual(was.update, now.update);
      // What was wanted of one who owns it already concerns other brokers than what is told of it.
      states.push(isSame && was.brokerIds.join() === now.brokerIds.join() ? was : now);
      if (!isSame) this.#push(now, was);
    }
    this.#topics.set(topicId, states);
  }

  #stateOf(topicId: TopicId, topic: string, partition: number): PartitionState {
    const record = this.#image.partition(topicId, partition);
    const owner = record && this.#image.brokerOf(record.owner)?.brokerId;
    const wanted = this.#image.brokerOf(this.#image.assignment(topicId)?.owners[partition] ?? '')?.brokerId;
    const isWanted = wanted !== undefined && wanted !== owner;
    const status: AssignmentStatus = isWanted ? 'wanted' : owner === undefined ? 'unowned' : 'owned';
    const brokerId = (isWanted ? wanted : owner) ?? -1;
    const update = { partition: { topic, partition }, brokerId, status, epoch: record?.leaderEpoch ?? -1 };
    return { update, brokerIds: [owner, wanted].filter((id) => id !== undefined) };
  }

  #push(now: PartitionState, before: PartitionState | undefined): void {
    for (const watcher of this.#watchers) watcher.push(now, before);
  }
}

const isEqual = (left: AssignmentUpdate, right: AssignmentUpdate) =>
  left.brokerId === right.brokerId && left.status === right.status && left.epoch === right.epoch;
