/** What every reconciler is given: the watched world to read, one client whose writes are fenced, and what the operator knows of itself. */
import type { Clock, Logger, Random } from '@kafscale/runtime';
import type { Children, EventRecorder, KubeClient } from '../kube/index.ts';
import type { OperatorMetrics } from '../metrics/metrics.ts';
import type { OperatorSettings } from '../resources/cluster-plan.ts';
import type { WatchedWorld } from './watched-world.ts';

export interface ReconcilerDeps {
  readonly client: KubeClient;
  readonly world: WatchedWorld;
  readonly children: Children;
  readonly events: EventRecorder;
  readonly metrics: OperatorMetrics;
  readonly operator: OperatorSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
