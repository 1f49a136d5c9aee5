/** The code that answers a request which failed with something else than a KafkaError. */
import { ErrorCode, KafkaError, unreachable } from '@kafscale/protocol';
import { MetadataError } from '../metadata/metadata-error.ts';
import { StorageError } from '../storage/storage-error.ts';

/** UNKNOWN_SERVER_ERROR stands for a fault of ours; whatever a client may try again has a retriable code. */
export function errorCodeOf(error: unknown): ErrorCode {
  if (error instanceof KafkaError) return error.code;
  if (error instanceof StorageError) return codeOfStorage(error.kind);
  if (error instanceof MetadataError) return codeOfMetadata(error.kind);
  return ErrorCode.UNKNOWN_SERVER_ERROR;
}

function codeOfStorage(kind: StorageError['kind']): ErrorCode {
  switch (kind) {
    case 'unavailable':
    case 'denied':
    case 'archived':
    case 'aborted':
      return ErrorCode.KAFKA_STORAGE_ERROR;
    case 'not-found':
    case 'conflict':
    case 'corrupt':
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    default:
      return unreachable(kind);
  }
}

function codeOfMetadata(kind: MetadataError['kind']): ErrorCode {
  switch (kind) {
    case 'unavailable':
    case 'aborted':
    case 'fenced':
    case 'lease-not-found':
    case 'no-space':
    case 'replaced':
      return ErrorCode.REQUEST_TIMED_OUT;
    case 'compacted':
    case 'invalid':
    case 'conflict':
    case 'corrupt':
      return ErrorCode.UNKNOWN_SERVER_ERROR;
    default:
      return unreachable(kind);
  }
}
