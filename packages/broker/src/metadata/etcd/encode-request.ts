/** Reads and transactions as etcd takes them. Encoded when they are asked for, so later changes of the caller's memory do not show. */
import { MetadataError } from '../metadata-error.ts';
import type { Compare as StoreCompare, Operation, RangeRequest as StoreRange, Transaction } from '../metadata-store.ts';
import { type Compare, type RangeRequest, type RequestOp } from './generated/etcd/etcd.ts';
import type { EtcdKeys } from './keys.ts';
import { asBuffer, etcdMethods } from './methods.ts';

/** etcd's numbers. */
const results = { '=': 0, '>': 1, '<': 2, '!=': 3 } as const;
const targets = { version: 0, createRevision: 1, modRevision: 2, value: 3 } as const;

export function encodeRange(keys: EtcdKeys, request: StoreRange): Buffer {
  return etcdMethods.range.encode(rangeRequest(keys, request));
}

/** Throws MetadataError `lease-not-found` for a lease that cannot be etcd's. */
export function encodeTransaction(keys: EtcdKeys, { compare, success, failure = [] }: Transaction): Buffer {
  return etcdMethods.txn.encode({
    compare: compare.map((one) => encodeCompare(keys, one)),
    success: success.map((operation) => encodeOperation(keys, operation)),
    failure: failure.map((operation) => encodeOperation(keys, operation)),
  });
}

function rangeRequest(
  keys: EtcdKeys,
  { limit = 0, revision = 0, keysOnly = false, ...range }: StoreRange,
): RangeRequest {
  return { ...keys.range(range), limit: BigInt(limit), revision: BigInt(revision), keysOnly };
}

function encodeCompare(keys: EtcdKeys, compare: StoreCompare): Compare {
  return {
    result: results[compare.operator],
    target: targets[compare.target],
    key: keys.absolute(compare.key),
    operand:
      compare.target === 'value'
        ? { $case: 'value', value: asBuffer(compare.operand) }
        : { $case: compare.target, value: BigInt(compare.operand) },
  };
}

function encodeOperation(keys: EtcdKeys, operation: Operation): RequestOp {
  switch (operation.type) {
    case 'put': {
      const { key, value, leaseId } = operation;
      const put = {
        key: keys.absolute(key),
        value: asBuffer(value),
        lease: leaseId === undefined ? 0n : leaseNumber(leaseId),
      };
      return { request: { $case: 'put', value: put } };
    }
    case 'delete':
      return { request: { $case: 'deleteRange', value: keys.range(operation) } };
    case 'range':
      return { request: { $case: 'range', value: rangeRequest(keys, operation) } };
  }
}

const maxLeaseId = 2n ** 63n - 1n;

/** etcd's id of a lease. Throws MetadataError `lease-not-found` for what cannot be one of its ids. */
export function leaseNumber(lease: string): bigint {
  const number = /^[1-9]\d{0,18}$/.test(lease) ? BigInt(lease) : maxLeaseId + 1n;
  if (number > maxLeaseId) throw new MetadataError('lease-not-found', `${lease} is no lease of etcd`);
  return number;
}
