/** Our keys and etcd's: every key of a cluster lies under one prefix there, which callers never see. */
import type { KeyRange, KeyValue as StoreKeyValue } from '../metadata-store.ts';
import type { KeyValue } from './generated/etcd/etcd.ts';

const noBytes = Buffer.alloc(0);

export class EtcdKeys {
  readonly prefix: string;
  readonly #prefixBytes: number;

  /** `prefix` ends in a slash. */
  constructor(prefix: string) {
    this.prefix = prefix;
    this.#prefixBytes = Buffer.byteLength(prefix);
  }

  absolute(key: string): Buffer {
    return Buffer.from(this.prefix + key, 'utf8');
  }

  relative(key: Buffer): string {
    return key.toString('utf8', this.#prefixBytes);
  }

  range({ key, end }: KeyRange): { readonly key: Buffer; readonly rangeEnd: Buffer } {
    return { key: this.absolute(key), rangeEnd: end === undefined ? noBytes : this.absolute(end) };
  }

  keyValue({ key, value, createRevision, modRevision, version, lease }: KeyValue): StoreKeyValue {
    return {
      key: this.relative(key),
      value,
      createRevision: Number(createRevision),
      modRevision: Number(modRevision),
      version: Number(version),
      ...(lease === 0n ? {} : { leaseId: lease.toString() }),
    };
  }
}
