/**
 * The broker's side of Kubernetes, as far as it is a connection: the control port and the stream on which the operator is told the load, each only where
 * the configuration asks for it. Lives as long as the process, whichever life the broker is in.
 */
import type { BrokerConfig } from '@kafscale/protocol';
import type { Clock, Logger, Random } from '@kafscale/runtime';
import { readFile } from 'node:fs/promises';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import type { BrokerControl } from './broker-control.ts';
import { ControlServer } from './control-server.ts';
import { MetricsReporter } from './metrics-reporter.ts';
import { TokenFile } from './token-file.ts';

export interface ControlSideDependencies {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Pick<BrokerMetrics, 'totals'>;
  /** The life the broker is in; undefined between two. */
  readonly current: () => BrokerControl | undefined;
  readonly brokerId: () => number | undefined;
  /** What `/readyz` says. */
  readonly isReady: () => boolean;
}

export class ControlSide {
  readonly #server: ControlServer | undefined;
  readonly #reporter: MetricsReporter | undefined;

  private constructor(server: ControlServer | undefined, reporter: MetricsReporter | undefined) {
    this.#server = server;
    this.#reporter = reporter;
  }

  /** Rejects when a file that is configured cannot be read, or the address cannot be had. */
  static async start(dependencies: ControlSideDependencies): Promise<ControlSide> {
    const { config, clock, random, current, isReady, brokerId, metrics } = dependencies;
    const { controlAddress: address, operatorMetricsEndpoint: endpoint } = config;
    if (address === undefined && endpoint === undefined) return new ControlSide(undefined, undefined);
    const logger = dependencies.logger.child({ component: 'control' });
    const path = config.controlTokenFile;
    const token = path === undefined ? undefined : await TokenFile.open({ path, clock, logger });
    const server =
      address === undefined
        ? undefined
        : await ControlServer.start({
            ...{ address, token, tls: tlsOf(config), current, isReady, clock, logger },
            version: await packageVersion(),
          });
    const reporter =
      endpoint === undefined
        ? undefined
        : MetricsReporter.start({
            ...{ endpoint, caFile: config.operatorMetricsCaFile, token, brokerId, clock, random, logger },
            totals: () => metrics.totals(),
          });
    return new ControlSide(server, reporter);
  }

  /** 0 where the control API is off. */
  get port(): number {
    return this.#server?.port ?? 0;
  }

  lifeEnded(): void {
    this.#server?.lifeEnded();
  }

  async close(): Promise<void> {
    await Promise.all([this.#server?.close(), this.#reporter?.close()]);
  }
}

function tlsOf({ controlTlsCertFile, controlTlsKeyFile, controlTlsClientCaFile }: BrokerConfig) {
  if (controlTlsCertFile === undefined || controlTlsKeyFile === undefined) return undefined;
  return { certFile: controlTlsCertFile, keyFile: controlTlsKeyFile, clientCaFile: controlTlsClientCaFile };
}

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}
