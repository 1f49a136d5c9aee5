/**
 * How a broker gets its id: a key that only its session holds, bound to the session's lease, so that no two living brokers have one
 * id and a dead one's is free again. Its value tells the others where clients find it.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import type { Clock } from '@kafscale/runtime';
import type { Lane } from '../metadata/lane.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { prefixEnd, type LeaseId, type MetadataStore } from '../metadata/metadata-store.ts';
import { inService, type Standing } from './broker-standing.ts';
import { absent } from './topic-operations.ts';

export interface BrokerRegistrationDependencies {
  readonly store: MetadataStore;
  readonly lane: Lane;
  readonly clock: Clock;
}

export interface BrokerRegistration {
  readonly incarnation: string;
  readonly leaseId: LeaseId;
  /** The id to have, or undefined for the lowest that nobody has. */
  readonly brokerId?: number | undefined;
  readonly endpoint: { readonly host: string; readonly port: number; readonly rack: string };
  /** It is to own nothing; it may unless told. */
  readonly draining?: boolean;
  /** Leaders send consumers of its rack to it; they do not unless told. */
  readonly readOnly?: boolean;
  /** How long to wait for an id that an earlier life of this broker may still hold; none unless told. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

const lookAgainMs = 500;

/**
 * Claims an id for as long as the session lives. Throws MetadataError `conflict` when the id is another's, `fenced`, `unavailable`,
 * and the signal's reason.
 */
export async function registerBroker(
  dependencies: BrokerRegistrationDependencies,
  registration: BrokerRegistration,
): Promise<number> {
  const { store, lane, clock } = dependencies;
  const { leaseId, signal, waitMs = 0 } = registration;
  const { draining = false, readOnly = false } = registration;
  const value = encodeRecord(registration, { ...inService, draining }, readOnly);
  const giveUpMs = clock.monotonicMs() + waitMs;
  for (;;) {
    signal?.throwIfAborted();
    const brokerId = registration.brokerId ?? (await lowestFreeId(store, signal));
    const key = metadataKeys.broker(brokerId);
    try {
      await lane.commit({ compare: [absent(key)], operations: [{ type: 'put', key, value, leaseId }] });
      return brokerId;
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind !== 'conflict') throw error;
      if (registration.brokerId === undefined) continue; // somebody was faster; the next one is free
      if (clock.monotonicMs() >= giveUpMs) {
        throw new MetadataError('conflict', await takenMessage(store, brokerId, signal), { cause: error });
      }
      await clock.sleep(lookAgainMs, signal);
    }
  }
}

/** Tells the others what the registered broker may be given. Throws MetadataError. */
export async function storeStanding(
  lane: Lane,
  brokerId: number,
  registration: Pick<BrokerRegistration, 'incarnation' | 'leaseId' | 'endpoint' | 'readOnly'>,
  standing: Standing,
): Promise<void> {
  const key = metadataKeys.broker(brokerId);
  // The key is ours as long as our session lives, which every commit compares. Put without the lease it would outlive us.
  const value = encodeRecord(registration, standing, registration.readOnly ?? false);
  await lane.commit({ operations: [{ type: 'put', key, value, leaseId: registration.leaseId }] });
}

const encodeRecord = (
  { incarnation, endpoint }: Pick<BrokerRegistration, 'incarnation' | 'endpoint'>,
  { draining, cordoned, drained }: Standing,
  readOnly: boolean,
) =>
  metadata.BrokerRecord.encode({
    ...{ incarnation, ...endpoint, draining, cordoned, readOnly },
    drained: [...drained].map(([topicId, partitions]) => {
      return { topicId: Buffer.from(topicId, 'base64url'), partitions: [...partitions] };
    }),
  }).finish();

async function takenMessage(store: MetadataStore, brokerId: number, signal?: AbortSignal): Promise<string> {
  const { items } = await store.range({ key: metadataKeys.broker(brokerId) }, signal);
  const { host, port } = metadata.BrokerRecord.decode(items[0]?.value ?? Buffer.alloc(0));
  const where = items.length === 0 ? '' : ` at ${host}:${port}`;
  return (
    `broker id ${brokerId} belongs to another broker that is alive${where}: ` +
    'give each broker a KAFSCALE_BROKER_ID of its own, or none, and it takes one that is free'
  );
}

async function lowestFreeId(store: MetadataStore, signal?: AbortSignal): Promise<number> {
  const prefix = metadataPrefixes.brokers;
  const { items } = await store.range({ key: prefix, end: prefixEnd(prefix) }, signal);
  const taken = new Set(items.map(({ key }) => Number(key.slice(prefix.length))));
  let brokerId = 0;
  while (taken.has(brokerId)) brokerId += 1;
  return brokerId;
}
