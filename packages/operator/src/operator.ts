/**
 * The operator, put together by hand: informers that run from the start, and what acts, which runs for one term of leading. A term that
 * is lost is the end of the process: whoever calls brokers on old knowledge must not go on.
 */
import type { ListenAddress } from '@kafscale/protocol';
import { Lifecycle, settlesWithin, type Clock, type Logger, type Random } from '@kafscale/runtime';
import { networkInterfaces } from 'node:os';
import { ControlDirectory } from './brokers/broker-directory.ts';
import { KafkaAdmin } from './brokers/kafka-admin.ts';
import { LoadReports } from './brokers/load-reports.ts';
import { MetricsServer } from './brokers/metrics-server.ts';
import { operatorVersion, type OperatorConfig } from './config.ts';
import { createExternalMetrics } from './external-metrics/external-metrics.ts';
import {
  Children,
  createKubeClient,
  EventRecorder,
  fencedClient,
  inClusterAccess,
  kubeconfigAccess,
  LeaderElection,
  type ClusterAccess,
  type KubeClient,
  type KubeObject,
  type ObjectName,
  type WatchedKind,
} from './kube/index.ts';
import { startHttpServer } from './metrics/http-server.ts';
import { createOperatorMetrics, type OperatorMetrics } from './metrics/metrics.ts';
import { createClusterController } from './reconcile/cluster/cluster-controller.ts';
import type { EtcdReconciler } from './reconcile/cluster/etcd-reconciler.ts';
import { ManagedEtcd } from './reconcile/etcd/managed-etcd.ts';
import type { ReconcilerDeps } from './reconcile/reconciler-deps.ts';
import { createTopicController } from './reconcile/topic/topic-controller.ts';
import type { TopicAdmin } from './reconcile/topic/topic-catalogue.ts';
import { watchWorld, type WatchedWorld } from './reconcile/watched-world.ts';
import { namesOf, ports } from './resources/cluster-plan.ts';

export interface OperatorDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** To the API server; found by the configuration unless given. */
  readonly access?: ClusterAccess;
  /** Of brokers; that of their pods unless given. */
  readonly controlPort?: number;
  /** Reached by the cluster's Service unless given. */
  readonly adminOf?: (cluster: ObjectName) => TopicAdmin;
}

export interface RunningOperator {
  readonly metricsPort: number;
  /** Resolves when it cannot go on: the lease is lost, or what leading needs could not be started. */
  readonly failed: Promise<Error>;
  /** True while it may write. */
  isLeading(): boolean;
  /** Ends what runs, gives the lease back. */
  close(): Promise<void>;
}

/** What the world is told last may take so long. */
const lastEventsMs = 2_000;

/** Resolves when it watches; it leads as soon as it gets the lease. Rejects when an address or the way to the API server cannot be had. */
export async function startOperator(config: OperatorConfig, deps: OperatorDeps): Promise<RunningOperator> {
  const { clock, random, logger } = deps;
  const access = deps.access ?? (await accessOf(config, clock));
  const namespace = config.namespace ?? access.namespace;
  const metrics = createOperatorMetrics();
  const lifecycle = new Lifecycle(logger);
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => (fail = resolve));
  const client = await lifecycle.start(
    'API client',
    () => createKubeClient({ access, clock }),
    (started) => started.close(),
  );
  const world = await lifecycle.start(
    'informers',
    () => startWorld(client, config, deps),
    (started) => Promise.all(started.all.map((watched) => watched.stop())).then(() => undefined),
  );
  showWorld(metrics, world);
  const http = await lifecycle.start(
    'metrics',
    () => startHttpServer({ address: config.metricsAddress, metrics, logger, notReady: () => missingOf(world) }),
    (started) => started.close(),
  );

  const term = new Term({ ...deps, config, namespace, metrics, world });
  const lead = (writing: KubeClient, signal?: AbortSignal): void => {
    term.start(writing).catch((error: unknown) => fail(error as Error));
    signal?.addEventListener('abort', () => fail(signal.reason as Error), { once: true });
  };
  const election = !config.leaderElect
    ? undefined
    : new LeaderElection({
        ...{ client, clock, random, logger, metrics },
        lease: { namespace, name: config.leaderKey },
        identity: `${config.podName}_${random.bytes(4).toString('hex')}`,
        onElected: (signal) => lead(fencedClient(client, election!.fence), signal),
      });
  await lifecycle.start(
    'leading',
    () => (election === undefined ? lead(client) : election.start()),
    async () => {
      await term.stop();
      await election?.stop();
    },
  );
  return {
    metricsPort: http.port,
    failed,
    isLeading: () => election?.leads ?? true,
    close: () => lifecycle.stop(),
  };
}

function accessOf({ kubernetesHost, kubernetesPort }: OperatorConfig, clock: Clock): Promise<ClusterAccess> {
  if (kubernetesHost === undefined) return kubeconfigAccess();
  return inClusterAccess({ host: kubernetesHost, port: kubernetesPort, clock });
}

function startWorld(client: KubeClient, config: OperatorConfig, { clock, random, logger }: OperatorDeps): WatchedWorld {
  const world = watchWorld({ client, clock, random, logger, namespaces: config.watchNamespaces });
  for (const watched of world.all) watched.start();
  return world;
}

function showWorld(metrics: OperatorMetrics, world: WatchedWorld): void {
  metrics.beforeScrape(() => {
    metrics.clusters.set(world.clusters.size);
    metrics.topics.set(world.topics.size);
    for (const { kind, failures } of world.all) metrics.informerFailures.set({ kind: kind.kind }, failures);
  });
}

function missingOf(world: WatchedWorld): string | undefined {
  const waiting = world.all.filter(({ hasSynced }) => !hasSynced).map(({ kind }) => kind.plural);
  return waiting.length === 0 ? undefined : `has not seen all ${waiting.join(', ')}`;
}

interface TermDeps extends OperatorDeps {
  readonly config: OperatorConfig;
  /** The operator's own. */
  readonly namespace: string;
  readonly metrics: OperatorMetrics;
  readonly world: WatchedWorld;
}

/** Everything that acts, from the moment this operator leads. There is one term in the life of a process. */
class Term {
  readonly #deps: TermDeps;
  readonly #running: Lifecycle;
  readonly #logger: Logger;

  constructor(deps: TermDeps) {
    this.#deps = deps;
    this.#logger = deps.logger;
    this.#running = new Lifecycle(deps.logger);
  }

  /** `client` writes only while the lease is held. */
  async start(client: KubeClient): Promise<void> {
    const { clock, random, config, metrics, world, namespace } = this.#deps;
    const logger = this.#logger;
    const running = this.#running;
    const reports = new LoadReports(clock);
    const events = await running.start(
      'events',
      () => new EventRecorder({ ...{ client, clock, random, logger }, ...this.#reporter() }),
      (started) => settlesWithin(clock, lastEventsMs, started.flush()).then(() => undefined),
    );
    const brokers = await running.start(
      'calls of brokers',
      () => new ControlDirectory({ clock, port: this.#deps.controlPort ?? ports.control }),
      (started) => started.close(),
    );
    const shared: ReconcilerDeps = {
      ...{ client, world, events, metrics, clock, random, logger },
      children: new Children({ client, logger, caches: childCaches(world) }),
      operator: this.#settings(),
    };
    const etcd: EtcdReconciler = new ManagedEtcd(shared);
    await running.start(
      'clusters',
      () => started(createClusterController({ ...shared, brokers, etcd })),
      (controller) => controller.stop(),
    );
    await running.start(
      'topics',
      () =>
        started(
          createTopicController({ ...shared, adminOf: this.#deps.adminOf ?? ((cluster) => this.#admin(cluster)) }),
        ),
      (controller) => controller.stop(),
    );
    await running.start(
      'reports of brokers',
      () =>
        MetricsServer.start({
          ...{ address: addressText(config.streamAddress), reports, clock, logger },
          clusterOf: (token) => Promise.resolve(brokers.clusterOf(token)),
        }),
      (server) => server.close(),
    );
    const { externalMetricsAddress } = config;
    if (externalMetricsAddress === undefined) return;
    const { host = everyInterface(), port } = externalMetricsAddress;
    await running.start(
      'external metrics',
      () =>
        started(
          createExternalMetrics({
            ...{ client, metrics, clock, random, logger, reports, listen: { host, port } },
            readyBrokers: (name) => world.clusters.get(name)?.status?.brokers?.ready,
            clustersIn: (inside) => world.clusters.list(inside).map(({ metadata }) => metadata.name),
            service: { namespace, name: `${config.leaderKey}-external` },
            secret: { namespace, name: `${config.leaderKey}-certificate` },
          }),
        ),
      (serving) => serving.stop(),
    );
  }

  stop(): Promise<void> {
    return this.#running.stop();
  }

  #reporter() {
    return { controller: 'kafscale.io/operator', instance: this.#deps.config.podName };
  }

  #settings(): ReconcilerDeps['operator'] {
    const { config, namespace } = this.#deps;
    const { brokerImage, brokerPullPolicy, etcdImage, metricsEndpoint, podLabels } = config;
    const images = { broker: brokerImage, etcd: etcdImage };
    return { namespace, podLabels, metricsEndpoint, images, brokerPullPolicy, version: operatorVersion };
  }

  #admin({ namespace = '', name }: ObjectName): TopicAdmin {
    const { clock, random } = this.#deps;
    const bootstrap = [{ host: `${namesOf(name).broker}.${namespace}.svc`, port: ports.kafka }];
    return new KafkaAdmin({ clock, random, bootstrap });
  }
}

const childCaches = (world: WatchedWorld) => Object.values(world.children) as readonly WatchedKind<KubeObject>[];

/** `start` of a controller waits until the informers know everything; what is begun meanwhile does not. */
function started<Startable extends { start(): Promise<void> }>(startable: Startable): Startable {
  void startable.start();
  return startable;
}

/** Of both families, where this machine has both. */
const everyInterface = (): string =>
  Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6')) ? '::' : '0.0.0.0';

const addressText = ({ host = everyInterface(), port }: ListenAddress): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;
