/** One catalogue of topics for each cluster that is asked for, for as long as the cluster has brokers and resources of topics. */
import { objectKey, parseObjectKey, type ObjectName } from '../../kube/index.ts';
import { topicsOfCluster } from '../watched-world.ts';
import type { TopicControllerDeps } from './topic-controller-deps.ts';
import { TopicCatalogue } from './topic-catalogue.ts';
import type { Wishes } from './topic-wish.ts';

type Settings = Pick<TopicControllerDeps, 'world' | 'adminOf' | 'clock' | 'logger' | 'lookEveryMs' | 'figures'> & {
  readonly wishes: Wishes;
  /** The resource should be looked at again. */
  readonly onChange: (topic: ObjectName) => void;
};

export class ClusterCatalogues {
  readonly #settings: Settings;
  readonly #catalogues = new Map<string, TopicCatalogue>();
  #isClosed = false;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Throws when this was closed. */
  of(cluster: ObjectName): TopicCatalogue {
    if (this.#isClosed) throw new Error('the controller of topics stops');
    const key = objectKey(cluster);
    const known = this.#catalogues.get(key);
    if (known !== undefined) return known;
    const { adminOf, clock, logger, lookEveryMs, figures } = this.#settings;
    const made = new TopicCatalogue({
      ...{ admin: adminOf(cluster), clock },
      ...{ logger: logger.child({ component: 'topics', cluster: key }) },
      ...(lookEveryMs !== undefined && { lookEveryMs }),
      ...(figures !== undefined && { figures }),
      watched: () => this.#watched(key),
      onIdle: () => this.forget(cluster),
      onChange: (topicName) => {
        for (const { metadata } of this.#topics(key, topicName)) this.#settings.onChange(metadata);
      },
    });
    this.#catalogues.set(key, made);
    return made;
  }

  /** The cluster is gone or has no brokers. */
  forget(cluster: ObjectName): void {
    const key = objectKey(cluster);
    this.#catalogues.get(key)?.close();
    this.#catalogues.delete(key);
  }

  close(): void {
    this.#isClosed = true;
    for (const key of [...this.#catalogues.keys()]) this.forget(parseObjectKey(key));
  }

  #topics(cluster: string, topicName: string) {
    const { world, wishes } = this.#settings;
    return world.topics.byIndex(topicsOfCluster, cluster).filter((topic) => wishes.of(topic).topicName === topicName);
  }

  #watched(cluster: string): ReadonlyMap<string, ReadonlySet<string>> {
    const { world, wishes } = this.#settings;
    const watched = new Map<string, Set<string>>();
    for (const topic of world.topics.byIndex(topicsOfCluster, cluster)) {
      const { topicName, configs, fault } = wishes.of(topic);
      if (fault !== undefined) continue;
      const names = watched.get(topicName) ?? new Set();
      for (const name of [...configs.keys(), ...(topic.status?.appliedConfig ?? [])]) names.add(name);
      watched.set(topicName, names);
    }
    return watched;
  }
}
