/**
 * What etcd refuses before it looks at a single key: sizes, counts and lists that contradict themselves. The embedded stores
 * refuse the same, so that nothing grows up on them that a cluster would not take.
 */
import { MetadataError } from './metadata-error.ts';
import type { Compare, KeyRange, Operation, RangeRequest, Transaction } from './metadata-store.ts';
import { sortKey } from './sorted-entries.ts';

/** etcd's `--max-txn-ops`; it counts each list of a transaction by itself. */
export const maxTransactionOperations = 128;

/** etcd's `--max-request-bytes`. */
export const maxRequestBytes = 1.5 * 1024 * 1024;

const operationOverheadBytes = 16;

/** Throws MetadataError `invalid`. */
export function checkTransaction({ compare, success, failure = [] }: Transaction): void {
  let sizeBytes = 0;
  for (const list of [compare, success, failure]) {
    if (list.length > maxTransactionOperations) {
      throw invalid(`${list.length} operations in one list, at most ${maxTransactionOperations} are allowed`);
    }
  }
  for (const item of compare) sizeBytes += checkedCompareBytes(item);
  for (const operations of [success, failure]) {
    for (const operation of operations) sizeBytes += checkedOperationBytes(operation);
    checkWrittenOnce(operations);
  }
  if (sizeBytes > maxRequestBytes) {
    throw invalid(`a request of about ${sizeBytes} bytes, at most ${maxRequestBytes} are allowed`);
  }
}

/** Throws MetadataError `invalid`. */
export function checkRange({ key, end, limit, revision }: RangeRequest): void {
  checkKeyRange({ key, ...(end === undefined ? {} : { end }) });
  if (limit !== undefined) checkPositive('limit', limit);
  if (revision !== undefined) checkPositive('revision', revision);
}

/** Throws MetadataError `invalid`. */
export function checkKeyRange({ key, end }: KeyRange): void {
  checkKey(key);
  if (end !== undefined) checkKey(end);
}

/** Throws MetadataError `invalid` unless `value` is an integer above zero. */
export function checkPositive(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) throw invalid(`${name} ${value} is not a positive integer`);
}

function checkedCompareBytes(compare: Compare): number {
  checkKey(compare.key);
  const operandBytes = compare.target === 'value' ? compare.operand.length : 8;
  return Buffer.byteLength(compare.key) + operandBytes + operationOverheadBytes;
}

function checkedOperationBytes(operation: Operation): number {
  if (operation.type === 'put') {
    checkKey(operation.key);
    return Buffer.byteLength(operation.key) + operation.value.length + operationOverheadBytes;
  }
  if (operation.type === 'range') checkRange(operation);
  else checkKeyRange(operation);
  return Buffer.byteLength(operation.key) + Buffer.byteLength(operation.end ?? '') + operationOverheadBytes;
}

/** A key is put at most once in a list, and not at all when a delete of the same list covers it. */
function checkWrittenOnce(operations: readonly Operation[]): void {
  const puts = new Set<string>();
  for (const operation of operations) {
    if (operation.type !== 'put') continue;
    const key = sortKey(operation.key);
    if (puts.has(key)) throw invalid(`duplicate key ${operation.key}: put twice`);
    puts.add(key);
  }
  for (const operation of operations) {
    if (operation.type !== 'delete') continue;
    const start = sortKey(operation.key);
    const end = operation.end === undefined ? undefined : sortKey(operation.end);
    for (const key of puts) {
      const covered = end === undefined ? key === start : key >= start && key < end;
      if (covered) throw invalid(`duplicate key ${key}: put and deleted`);
    }
  }
}

function checkKey(key: string): void {
  if (key === '') throw invalid('a key must not be empty');
  if (Buffer.from(key, 'utf8').toString('utf8') !== key) throw invalid('a key must be well-formed Unicode');
}

function invalid(message: string): MetadataError {
  return new MetadataError('invalid', message);
}
