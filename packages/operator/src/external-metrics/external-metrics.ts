/**
 * Gives autoscalers the load that brokers report: serves external.metrics.k8s.io while this operator leads, and keeps the API server's
 * entry for it trusting our certificate. The entry itself comes with the installation and goes with it; one that points to somebody
 * else, such as another source of external metrics, is never touched.
 */
import type { LoadReports } from '../brokers/load-reports.ts';
import type { Clock, Logger, Random } from '@kafscale/runtime';
import {
  Controller,
  defineKind,
  kinds,
  objectKey,
  type KubeClient,
  type KubeObject,
  type ObjectName,
  type ReconcileResult,
} from '../kube/index.ts';
import type { OperatorMetrics } from '../metrics/metrics.ts';
import { CertificateKeeper, type KeptCertificate } from './certificate-keeper.ts';
import { clusterLoad } from './cluster-load.ts';
import { frontProxyConfig, frontProxyOf, type FrontProxy } from './front-proxy.ts';
import { answerOf, apiServiceName } from './metrics-api.ts';
import { MetricsApiServer } from './metrics-api-server.ts';

export interface ExternalMetricsDeps {
  readonly client: KubeClient;
  readonly metrics: OperatorMetrics;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly reports: LoadReports;
  /** Brokers that should be in a sum; undefined for a cluster that does not exist. */
  readonly readyBrokers: (cluster: ObjectName) => number | undefined;
  /** Names of the clusters in a namespace. */
  readonly clustersIn: (namespace: string) => readonly string[];
  /** Where to listen; port 0 for a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** By which the API server reaches this operator. */
  readonly service: ObjectName & { readonly namespace: string };
  /** In the operator's own namespace. */
  readonly secret: ObjectName & { readonly namespace: string };
  /** Between two looks at secret, entry and authority. */
  readonly lookEveryMs?: number;
  readonly certificateLifetimeMs?: number;
}

/** Started for a term of leading, and stopped with it. */
export interface ExternalMetrics {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** 0 until it listens. */
  readonly port: number;
}

interface ApiService extends KubeObject {
  readonly spec?: {
    readonly caBundle?: string;
    readonly service?: { readonly namespace?: string; readonly name?: string };
  };
}

export const apiServiceKind = defineKind<ApiService>({
  ...{ apiVersion: 'apiregistration.k8s.io/v1', kind: 'APIService', plural: 'apiservices', namespaced: false },
});

const defaultLookEveryMs = 60_000;
/** API servers take over a new bundle within a moment; until then the old certificate is served. */
const bundleSettlesMs = 5_000;

export function createExternalMetrics(deps: ExternalMetricsDeps): ExternalMetrics {
  const { clock, random, metrics, logger } = deps;
  const keeping = new ExternalMetricsKeeper(deps);
  const controller = new Controller({
    ...{ name: 'external-metrics', clock, random, metrics, logger, sources: [], queue: { workers: 1 } },
    reconcile: (_name, { signal }) => keeping.reconcile(signal),
  });
  return {
    async start() {
      await controller.start();
      controller.enqueue({ name: apiServiceName });
    },
    async stop() {
      await controller.stop();
      await keeping.server.close();
    },
    get port() {
      return keeping.server.port;
    },
  };
}

class ExternalMetricsKeeper {
  readonly server: MetricsApiServer;
  readonly #deps: ExternalMetricsDeps;
  readonly #certificates: CertificateKeeper;
  readonly #logger: Logger;
  #said = '';

  constructor(deps: ExternalMetricsDeps) {
    const { client, clock, random, secret, service, certificateLifetimeMs, listen } = deps;
    this.#deps = deps;
    this.#logger = deps.logger.child({ component: 'external-metrics' });
    this.#certificates = new CertificateKeeper({
      ...{ client, clock, random, secret },
      names: [`${service.name}.${service.namespace}.svc`],
      ...(certificateLifetimeMs !== undefined && { lifetimeMs: certificateLifetimeMs }),
    });
    this.server = new MetricsApiServer({
      ...{ ...listen, logger: this.#logger },
      answer: (path, query) =>
        answerOf(path, query, {
          wallMs: () => clock.wallMs(),
          clustersIn: deps.clustersIn,
          load: (metric, cluster) =>
            clusterLoad(metric, {
              loads: deps.reports.of(objectKey(cluster)),
              readyBrokers: deps.readyBrokers(cluster) ?? 0,
            }),
        }),
    });
  }

  async reconcile(signal: AbortSignal): Promise<ReconcileResult> {
    const { client, clock, lookEveryMs = defaultLookEveryMs } = this.#deps;
    const kept = await this.#certificates.keep(signal);
    const frontProxy = frontProxyOf(await client.find(kinds.ConfigMap, frontProxyConfig, { signal }));
    const wasTold = await this.#tellBundle(kept, signal);
    const known = this.server.certificate;
    const isReplaced = known !== undefined && known.cert !== kept.certificate.cert;
    if (wasTold && isReplaced) {
      await this.server.use({ certificate: known, frontProxy });
      return { requeueAfterMs: bundleSettlesMs };
    }
    await this.server.use({ certificate: kept.certificate, frontProxy });
    this.#say(frontProxy);
    return { requeueAfterMs: Math.max(1_000, Math.min(lookEveryMs, kept.renewAtMs - clock.wallMs())) };
  }

  /** True when the entry did not trust the certificate before. */
  async #tellBundle({ bundle }: KeptCertificate, signal: AbortSignal): Promise<boolean> {
    const { client, service } = this.#deps;
    const entry = await client.find(apiServiceKind, { name: apiServiceName }, { signal });
    if (entry === undefined) {
      this.#note(
        `there is no APIService ${apiServiceName}; install the chart with external metrics, or autoscale by CPU`,
      );
      return false;
    }
    const target = entry.spec?.service;
    if (target?.name !== service.name || target.namespace !== service.namespace) {
      const other = `${target?.namespace ?? ''}/${target?.name ?? ''}`;
      this.#note(`APIService ${apiServiceName} belongs to ${other}; clusters cannot be autoscaled by bytes beside it`);
      return false;
    }
    this.#note('');
    const caBundle = Buffer.from(bundle).toString('base64');
    if (entry.spec?.caBundle === caBundle) return false;
    const { uid, resourceVersion } = entry.metadata;
    await client.patch(
      apiServiceKind,
      { name: apiServiceName },
      { metadata: { uid, resourceVersion }, spec: { caBundle } },
      { signal },
    );
    return true;
  }

  #say(frontProxy: FrontProxy | undefined): void {
    if (this.#said === '' && frontProxy === undefined) {
      this.#note('the API server publishes no authority of its aggregator, so nobody may ask for metrics');
    }
  }

  /** Says once what is in the way. */
  #note(what: string): void {
    if (what !== '' && what !== this.#said) this.#logger.warn(what);
    this.#said = what;
  }
}
