/** What keeps a broker from starting, in words that say what to do next. */
import { ConfigError } from '@kafscale/runtime';
import { CommandError } from './output.ts';

export interface BrokerPlace {
  readonly kafkaAddress: string;
  readonly metricsAddress: string;
  readonly dataDir: string;
}

/** A CommandError for a failure the user can do something about; anything else as it is. */
export function explainFailure(error: unknown, place: BrokerPlace): unknown {
  if (error instanceof ConfigError) {
    return new CommandError(`${error.message}\n\nEvery setting is described in docs/reference/configuration.md.`, {
      cause: error,
    });
  }
  const hint = hintFor(error, place);
  return hint === undefined ? error : new CommandError(hint, { cause: error });
}

function hintFor(error: unknown, { kafkaAddress, metricsAddress, dataDir }: BrokerPlace): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, port } = error as NodeJS.ErrnoException & { readonly port?: number };
  switch (code) {
    case 'EADDRINUSE': {
      const isMetrics = metricsAddress.endsWith(`:${String(port)}`);
      const option = isMetrics ? '--metrics-port' : '--port';
      return `Port ${String(port)} is taken by another program. Stop it, or choose another one: ${option} 0 takes any free port.`;
    }
    case 'EACCES':
      return port === undefined
        ? `No permission to use ${dataDir}. Choose another folder with --data-dir.`
        : `No permission to listen on port ${port}. Ports below 1024 belong to the system; choose another one with --port.`;
    case 'EADDRNOTAVAIL':
      return `This machine has no such address as ${kafkaAddress} or ${metricsAddress}.`;
    case 'ENOSPC':
      return `The disk that holds ${dataDir} is full.`;
    case 'EROFS':
      return `${dataDir} lies on a read-only file system. Choose another folder with --data-dir.`;
    default:
      return undefined;
  }
}
