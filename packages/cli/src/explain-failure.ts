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

/** Errors of our own whose message already tells what to do. */
const plainErrors: ReadonlySet<string> = new Set(['MetadataError', 'StorageError']);

function hintFor(error: unknown, { kafkaAddress, metricsAddress, dataDir }: BrokerPlace): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (plainErrors.has(error.name)) return error.message;
  const { code, syscall, port } = error as NodeJS.ErrnoException & { readonly port?: number };
  if (syscall === 'listen') return listenHint(code, String(port), { kafkaAddress, metricsAddress });
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `No permission to use ${dataDir}. Choose another folder with --data-dir.`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${dataDir} is not a folder. Choose another one with --data-dir.`;
    case 'ENOSPC':
      return `The disk that holds ${dataDir} is full. Make room, or choose another folder with --data-dir.`;
    case 'EROFS':
      return `${dataDir} lies on a read-only file system. Choose another folder with --data-dir.`;
    default:
      return undefined;
  }
}

function listenHint(
  code: string | undefined,
  port: string,
  { kafkaAddress, metricsAddress }: Pick<BrokerPlace, 'kafkaAddress' | 'metricsAddress'>,
): string | undefined {
  const option = metricsAddress.endsWith(`:${port}`) ? '--metrics-port' : '--port';
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is taken by another program. Stop it, or choose another one: ${option} 0 takes any free port.`;
    case 'EACCES':
      return `No permission to listen on port ${port}. Ports below 1024 belong to the system; choose another one with ${option}.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `This machine has no such address as ${kafkaAddress} or ${metricsAddress}.`;
    default:
      return undefined;
  }
}
