/**
 * `kafscale operator`: looks after KafScaleCluster and KafScaleTopic resources, in a pod or from a workstation with a kubeconfig. Logs are
 * JSON; SIGTERM ends what runs and gives the lease back, a second signal ends it at once.
 */
import { operatorConfigSchema, startOperator, type OperatorConfig } from '@kafscale/operator';
import {
  boundHeap,
  ConfigError,
  createLogger,
  cryptoRandom,
  failStopOnUncaughtErrors,
  loadConfig,
  stopSignal,
  systemClock,
} from '@kafscale/runtime';
import { CommandError } from '../output.ts';

export interface OperatorOptions {
  readonly metricsBindAddress?: string;
  readonly leaderElect?: string;
}

/** What Kubernetes' links and other parts of the installation set in the same pod. */
const otherVariables = /^KAFSCALE_(CACHE|SEED|TEST_|E2E_|OPERATOR_ETCD_|OPERATOR_\w+_(SERVICE|PORT))/;

export async function operator(options: OperatorOptions): Promise<void> {
  boundHeap();
  const stop = stopSignal();
  const { config, unknownNames } = operatorConfig(options);
  const logger = createLogger({ level: config.logLevel, format: config.logFormat });
  failStopOnUncaughtErrors(logger);
  const unknown = unknownNames.filter((name) => !otherVariables.test(name));
  if (unknown.length > 0) logger.warn({ names: unknown }, 'variables that are no setting of this version');
  logger.info({ namespaces: config.watchNamespaces ?? 'all', brokerImage: config.brokerImage }, 'starting');

  const running = await startOperator(config, { clock: systemClock, random: cryptoRandom, logger }).catch(
    (error: unknown) => {
      throw explain(error, config);
    },
  );
  logger.info({ metricsPort: running.metricsPort }, 'watching');
  const ended = await Promise.race([stop, running.failed]);
  if (ended instanceof Error) {
    logger.error({ err: ended }, 'cannot go on; ends, to be started anew');
    await running.close();
    throw new CommandError(`The operator cannot go on: ${ended.message}. Started anew, it goes on where it was.`);
  }
  logger.info({ signal: ended }, 'stopping: gives the lease back; a second signal ends it at once');
  await running.close();
  logger.info('stopped');
}

/** Throws CommandError with every fault. `env` is the process's own unless given. */
export function operatorConfig(options: OperatorOptions, env?: Readonly<Record<string, string>>) {
  const overrides = { metricsAddress: options.metricsBindAddress, leaderElect: options.leaderElect };
  try {
    return loadConfig(operatorConfigSchema, { prefix: 'KAFSCALE_', overrides, ...(env && { env }) });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CommandError(`${error.message}\n\nEvery setting is described in docs/reference/operator.md.`, {
      cause: error,
    });
  }
}

/** What keeps it from starting, in words that say what to do next; anything else as it is. */
function explain(error: unknown, { kubernetesHost, metricsAddress }: OperatorConfig): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE' || code === 'EACCES') {
    return new CommandError(
      `Port ${metricsAddress.port} cannot be had (${code}). Choose another one by --metrics-bind-address :0`,
      { cause: error },
    );
  }
  if (kubernetesHost === undefined) {
    return new CommandError(
      `There is no Kubernetes to look after: ${message}\nIn a pod a service account is needed; elsewhere set KUBECONFIG to the file that kubectl uses.`,
      { cause: error },
    );
  }
  return error;
}
