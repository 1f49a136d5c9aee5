/** What the controller of topics is given. */
import type { ObjectName } from '../../kube/index.ts';
import type { ReconcilerDeps } from '../reconciler-deps.ts';
import type { TopicAdmin, TopicCatalogueSettings } from './topic-catalogue.ts';

export interface TopicControllerDeps
  extends
    Pick<ReconcilerDeps, 'client' | 'events' | 'metrics' | 'clock' | 'random' | 'logger'>,
    Pick<TopicCatalogueSettings, 'lookEveryMs' | 'figures'> {
  readonly world: Pick<ReconcilerDeps['world'], 'topics' | 'clusters'>;
  /** A client of the cluster's brokers, which is closed here when it is of no use any more. */
  readonly adminOf: (cluster: ObjectName) => TopicAdmin;
}
