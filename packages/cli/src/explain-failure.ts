/** What keeps a broker from starting, in words that say what to do next. */
import type { BrokerConfig } from '@kafscale/protocol';
import { ConfigError } from '@kafscale/runtime';
import { resolve } from 'node:path';
import { CommandError } from './output.ts';

/** How a user chooses something: what to change, and what to write for any free port. */
interface Choice {
  readonly name: string;
  readonly anyPort: string;
}

/** How the command that failed lets its places be chosen. */
export interface PlaceChoices {
  readonly kafka: Choice;
  readonly metrics: Choice;
  readonly dataDir: string;
}

export const byOption: PlaceChoices = {
  kafka: { name: '--port', anyPort: '--port 0' },
  metrics: { name: '--metrics-port', anyPort: '--metrics-port 0' },
  dataDir: '--data-dir',
};

export const byVariable: PlaceChoices = {
  kafka: { name: 'KAFSCALE_BROKER_ADDR', anyPort: 'KAFSCALE_BROKER_ADDR=:0' },
  metrics: { name: 'KAFSCALE_METRICS_ADDR', anyPort: 'KAFSCALE_METRICS_ADDR=:0' },
  dataDir: 'KAFSCALE_DATA_DIR',
};

export interface BrokerPlace {
  readonly kafkaAddress: string;
  readonly metricsAddress: string;
  readonly dataDir: string;
  readonly choices: PlaceChoices;
}

const address = ({ host = '', port }: { readonly host?: string; readonly port: number }): string => `${host}:${port}`;

/** The places that a broker with this configuration uses. */
export function placeOf(config: BrokerConfig, choices: PlaceChoices): BrokerPlace {
  return {
    kafkaAddress: address(config.kafkaAddress),
    metricsAddress: address(config.metricsAddress),
    dataDir: resolve(config.dataDir),
    choices,
  };
}

/** The configuration's own faults, said with where to read on. */
export function explainConfigError(error: ConfigError): CommandError {
  return new CommandError(`${error.message}\n\nEvery setting is described in docs/reference/configuration.md.`, {
    cause: error,
  });
}

/** A CommandError for a failure the user can do something about; anything else as it is. */
export function explainFailure(error: unknown, place: BrokerPlace): unknown {
  if (error instanceof ConfigError) return explainConfigError(error);
  const hint = hintFor(error, place);
  return hint === undefined ? error : new CommandError(hint, { cause: error });
}

/** Errors of our own whose message already tells what to do. */
const plainErrors: ReadonlySet<string> = new Set(['MetadataError', 'StorageError', 'IdentityMismatch']);

function hintFor(error: unknown, place: BrokerPlace): string | undefined {
  const { dataDir, choices } = place;
  if (!(error instanceof Error)) return undefined;
  if (plainErrors.has(error.name)) return error.message;
  const { code, syscall, port } = error as NodeJS.ErrnoException & { readonly port?: number };
  if (syscall === 'listen') return listenHint(code, String(port), place);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `No permission to use ${dataDir}. Choose another folder with ${choices.dataDir}.`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${dataDir} is not a folder. Choose another one with ${choices.dataDir}.`;
    case 'ENOSPC':
      return `The disk that holds ${dataDir} is full. Make room, or choose another folder with ${choices.dataDir}.`;
    case 'EROFS':
      return `${dataDir} lies on a read-only file system. Choose another folder with ${choices.dataDir}.`;
    default:
      return undefined;
  }
}

function listenHint(
  code: string | undefined,
  port: string,
  { kafkaAddress, metricsAddress, choices }: BrokerPlace,
): string | undefined {
  const choice = metricsAddress.endsWith(`:${port}`) ? choices.metrics : choices.kafka;
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is taken by another program. Stop it, or choose another one: ${choice.anyPort} takes any free port.`;
    case 'EACCES':
      return `No permission to listen on port ${port}. Ports below 1024 belong to the system; choose another one with ${choice.name}.`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `This machine has no such address as ${kafkaAddress} or ${metricsAddress}.`;
    default:
      return undefined;
  }
}
