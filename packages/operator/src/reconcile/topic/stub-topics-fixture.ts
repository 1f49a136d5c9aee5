/** For tests of the topic controller: the topics of a cluster in memory, with faults on order and every request counted. */
import { ErrorCode } from '@kafscale/protocol';
import { KafkaAdminError, type ConfigChange, type DescribedTopic, type Outcomes } from '../../brokers/kafka-admin.ts';
import { KafkaUnreachable } from '../../brokers/kafka-connection.ts';
import type { TopicAdmin } from './topic-catalogue.ts';

export interface StubTopic {
  topicId: string;
  partitions: number;
  configs: Record<string, string>;
  leader?: number;
}

type Call = keyof TopicAdmin;

export class StubTopics implements TopicAdmin {
  readonly topicsByName = new Map<string, StubTopic>();
  /** Each request, with the topics it was about. */
  readonly calls: { readonly call: Call; readonly names: readonly string[] }[] = [];
  readonly endOffsets = new Map<string, number>();
  isDown = false;
  closed = 0;
  /** What is against doing this to the topic; asked before it is done. */
  refuse: (call: Call, name: string) => KafkaAdminError | undefined = () => undefined;
  /** Done right after a request was carried out; what it throws is its answer. */
  after: (call: Call) => void = () => undefined;
  #ids = 0;

  count(call: Call): number {
    return this.calls.filter((one) => one.call === call).length;
  }

  add(name: string, topic: Partial<StubTopic> = {}): StubTopic {
    this.#ids += 1;
    const made = { topicId: `id-${this.#ids}`, partitions: 1, configs: {}, leader: 0, ...topic };
    this.topicsByName.set(name, made);
    return made;
  }

  async topics(names?: readonly string[]): Promise<readonly DescribedTopic[]> {
    this.#asked('topics', names ?? []);
    return (names ?? [...this.topicsByName.keys()]).flatMap((name) => {
      const topic = this.topicsByName.get(name);
      if (topic === undefined) return [];
      const partitions = Array.from({ length: topic.partitions }, (_, partition) => {
        return { partition, leaderId: topic.leader ?? 0, leaderEpoch: 1 };
      });
      return [{ name, topicId: topic.topicId, partitions }];
    });
  }

  async configs(names: readonly string[], keysOf: (name: string) => readonly string[] | undefined = () => undefined) {
    this.#asked('configs', names);
    return new Map(
      names.flatMap((name) => {
        const topic = this.topicsByName.get(name);
        if (topic === undefined) return [];
        const own = Object.entries(topic.configs).filter(([key]) => keysOf(name)?.includes(key) ?? true);
        const described = own.map(([key, value]) => ({ name: key, value, isOwn: true, readOnly: false }));
        return [[name, [...described, { name: 'segment.bytes', value: '1', isOwn: false, readOnly: false }]] as const];
      }),
    );
  }

  createTopics: TopicAdmin['createTopics'] = (topics) =>
    this.#each('createTopics', topics, ({ name, partitions = 1, configs = {} }) => {
      if (this.topicsByName.has(name)) return new KafkaAdminError(ErrorCode.TOPIC_ALREADY_EXISTS);
      this.add(name, { partitions, configs: { ...configs } });
      return undefined;
    });

  createPartitions: TopicAdmin['createPartitions'] = (topics) =>
    this.#each('createPartitions', topics, ({ name, count }) => {
      this.topicsByName.get(name)!.partitions = count;
      return undefined;
    });

  alterConfigs: TopicAdmin['alterConfigs'] = (changes) =>
    this.#each('alterConfigs', changes, ({ name, set = {}, unset = [] }: ConfigChange) => {
      const topic = this.topicsByName.get(name)!;
      const left = Object.entries({ ...topic.configs, ...set }).filter(([key]) => !unset.includes(key));
      topic.configs = Object.fromEntries(left);
      return undefined;
    });

  deleteTopics: TopicAdmin['deleteTopics'] = (names) =>
    this.#each(
      'deleteTopics',
      names.map((name) => ({ name })),
      ({ name }) =>
        this.topicsByName.delete(name) ? undefined : new KafkaAdminError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    );

  offsetsOf: TopicAdmin['offsetsOf'] = async (topics) => {
    this.#asked(
      'offsetsOf',
      topics.map(({ name }) => name),
    );
    return new Map(
      topics.map(({ name, partitions }) => {
        const end = this.endOffsets.get(name) ?? 0;
        return [name, partitions.map(({ partition }) => ({ partition, start: 0, end }))];
      }),
    );
  };

  close(): void {
    this.closed += 1;
  }

  async #each<Item extends { readonly name: string }>(
    call: Call,
    items: readonly Item[],
    act: (item: Item) => KafkaAdminError | undefined,
  ): Promise<Outcomes> {
    this.#asked(
      call,
      items.map(({ name }) => name),
    );
    const outcomes = new Map(items.map((item) => [item.name, this.refuse(call, item.name) ?? act(item)]));
    this.after(call);
    return outcomes;
  }

  #asked(call: Call, names: readonly string[]): void {
    this.calls.push({ call, names });
    if (this.isDown) throw new KafkaUnreachable('broker at kafscale-broker:9092 cannot be reached');
  }
}
