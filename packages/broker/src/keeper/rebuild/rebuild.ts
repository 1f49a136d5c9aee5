/**
 * Fills an empty metadata store from the bucket. The bucket learns of the new generation first, so that the lost store, should it come
 * back, is refused; the cluster record comes last, so that no broker starts on a half-filled store; a marker stands in
 * between, under which an interrupted rebuild is begun again.
 */
import { metadata, metadataKeys, metadataPrefixes } from '@kafscale/protocol';
import { withDeadline, type Random } from '@kafscale/runtime';
import type { Operation, Revision } from '../../metadata/metadata-store.ts';
import { writeIdentity } from '../bucket-identity.ts';
import { writeCheckpoint } from '../checkpoint-writer.ts';
import { liveState, type StateEntry } from '../cluster-state.ts';
import { anyKey, readKey } from '../store-access.ts';
import type { SurveyDependencies } from './bucket-survey.ts';
import { planRebuild, type RebuildPlan } from './rebuild-plan.ts';

/** Why nothing was rebuilt, and what to do. */
export class RebuildRefused extends Error {
  override readonly name = 'RebuildRefused';
}

export interface RebuildDependencies extends SurveyDependencies {
  readonly random: Random;
  /** Whether a store that holds this very cluster, such as one restored from an older backup, gives way to what the bucket says. */
  readonly replaces?: boolean;
}

/** A bucket that was written to more recently may have brokers at work. */
const quietMs = 30_000;
const operationsPerTransaction = 100;
const bytesPerTransaction = 512 * 1024;
const incarnationBytes = 16;

/** What would be done. Throws RebuildRefused, MetadataError, StorageError. */
export async function prepareRebuild(dependencies: RebuildDependencies): Promise<RebuildPlan> {
  const replaced = await checkStoreIsEmpty(dependencies);
  const plan = await planRebuild(dependencies);
  if (plan !== undefined) {
    if (replaced !== undefined && replaced !== plan.clusterId) {
      throw new RebuildRefused(
        `The metadata store holds cluster ${replaced}, and the bucket is of cluster ${plan.clusterId}. Only the store of the same cluster is replaced.`,
      );
    }
    checkBucketIsQuiet(plan, dependencies);
    return plan;
  }
  throw new RebuildRefused(
    `${dependencies.names.prefix} of the bucket does not say whose it is: there is nothing to rebuild from. Check KAFSCALE_S3_BUCKET and KAFSCALE_S3_NAMESPACE.`,
  );
}

/** Does what the plan says. Throws RebuildRefused, MetadataError, StorageError; it can then be begun again. */
export async function executeRebuild(plan: RebuildPlan, dependencies: RebuildDependencies): Promise<void> {
  const { clock, names, random, onProgress } = dependencies;
  const { clusterId } = plan;
  const marker = await takeMarker(plan, dependencies);
  const generation = Number(marker.record.generation);
  await writeIdentity({ clusterId, generation: BigInt(generation) }, { ...dependencies, names });
  await emptyStore(marker.revision, dependencies);
  let written = 0;
  for await (const operations of inTransactions(plan.entries())) {
    await apply(operations, marker.revision, dependencies);
    written += operations.length;
    onProgress?.(`wrote ${written} keys`);
  }
  const record = { clusterId, generation: BigInt(generation), createdMs: BigInt(clock.wallMs()) };
  const value = metadata.ClusterRecord.encode(record).finish();
  await apply(
    [
      { type: 'put', key: metadataKeys.cluster, value },
      { type: 'delete', key: metadataKeys.rebuild },
    ],
    marker.revision,
    dependencies,
  );
  onProgress?.('writing a checkpoint of the rebuilt store');
  const incarnation = random.bytes(incarnationBytes).toString('hex');
  const state = await liveState(dependencies);
  await writeCheckpoint(state, { ...dependencies, names, random, identity: { clusterId, generation }, incarnation });
}

/** Answers the cluster that is to be replaced, if there is one. */
async function checkStoreIsEmpty(dependencies: RebuildDependencies): Promise<string | undefined> {
  if (await anyKey(dependencies, metadataPrefixes.sessions)) {
    throw new RebuildRefused(
      'Brokers are at work on this metadata store: nothing is lost, and nothing to rebuild. To check the data, run: kafscale verify',
    );
  }
  const { item } = await readKey(dependencies, metadataKeys.cluster);
  if (item !== undefined) {
    const { clusterId } = metadata.ClusterRecord.decode(item.value);
    if (dependencies.replaces === true) return clusterId;
    throw new RebuildRefused(
      `The metadata store holds cluster ${clusterId}. A rebuild fills an empty store: give it an empty one (another KAFSCALE_ETCD_PREFIX, KAFSCALE_CLUSTER_ID or KAFSCALE_DATA_DIR/metadata). If what it holds is an older backup, which brokers refuse, replace it with --replace.`,
    );
  }
  const { item: marker } = await readKey(dependencies, metadataKeys.rebuild);
  if (marker === undefined && (await anyKey(dependencies, ''))) {
    throw new RebuildRefused(
      'The metadata store is not empty, and what it holds is no cluster of ours. Give the rebuild an empty one.',
    );
  }
  return undefined;
}

function checkBucketIsQuiet({ newestMs }: RebuildPlan, { clock }: RebuildDependencies): void {
  const agoMs = clock.wallMs() - newestMs;
  if (agoMs >= quietMs) return;
  throw new RebuildRefused(
    `The bucket was written to ${Math.max(0, Math.round(agoMs / 1_000))} s ago. Stop every broker, wait ${quietMs / 1_000} s and try again: brokers that still run on another metadata store would go on beside the rebuilt one.`,
  );
}

async function takeMarker(plan: RebuildPlan, dependencies: RebuildDependencies) {
  const { clock, metadataStore, callDeadlineMs } = dependencies;
  const key = metadataKeys.rebuild;
  const record = {
    clusterId: plan.clusterId,
    generation: BigInt(plan.generation),
    startedMs: BigInt(clock.wallMs()),
  };
  const before = await readKey(dependencies, key);
  const { item: replaced } = await readKey(dependencies, metadataKeys.cluster);
  const operand = dependencies.replaces === true ? (replaced?.modRevision ?? 0) : 0;
  const { succeeded, revision } = await withDeadline(clock, callDeadlineMs, (signal) =>
    metadataStore.transact(
      {
        compare: [
          { key: metadataKeys.cluster, target: 'modRevision', operator: '=', operand },
          { key, target: 'modRevision', operator: '=', operand: before.item?.modRevision ?? 0 },
        ],
        success: [
          { type: 'put', key, value: metadata.RebuildRecord.encode(record).finish() },
          // From here on no broker takes the store for a cluster's.
          ...(operand === 0 ? [] : [{ type: 'delete', key: metadataKeys.cluster } as const]),
        ],
      },
      signal,
    ),
  );
  if (!succeeded) throw new RebuildRefused('Somebody else fills this metadata store. Look who, then try again.');
  return { record, revision };
}

/** What an interrupted rebuild has left. */
async function emptyStore(marker: Revision, dependencies: RebuildDependencies): Promise<void> {
  const { rebuild } = metadataKeys;
  await apply(
    [
      { type: 'delete', key: '!', end: rebuild },
      { type: 'delete', key: `${rebuild}!`, end: '~' },
    ],
    marker,
    dependencies,
  );
}

/** Applies only while the marker is ours; a lost reply is an error, and the rebuild is begun again. */
async function apply(
  operations: readonly Operation[],
  marker: Revision,
  { clock, metadataStore, callDeadlineMs }: RebuildDependencies,
): Promise<void> {
  const compare = [
    { key: metadataKeys.rebuild, target: 'modRevision', operator: '=', operand: marker } as const,
    { key: metadataKeys.cluster, target: 'createRevision', operator: '=', operand: 0 } as const,
  ];
  const { succeeded } = await withDeadline(clock, callDeadlineMs, (signal) =>
    metadataStore.transact({ compare, success: operations }, signal),
  );
  if (!succeeded) throw new RebuildRefused('Somebody else fills this metadata store. Look who, then try again.');
}

async function* inTransactions(entries: AsyncIterable<StateEntry>): AsyncGenerator<Operation[], void, undefined> {
  let operations: Operation[] = [];
  let sizeBytes = 0;
  for await (const { key, value } of entries) {
    const bytes = key.length + value.length;
    if (
      operations.length === operationsPerTransaction ||
      (operations.length > 0 && sizeBytes + bytes > bytesPerTransaction)
    ) {
      yield operations;
      [operations, sizeBytes] = [[], 0];
    }
    operations.push({ type: 'put', key, value });
    sizeBytes += bytes;
  }
  if (operations.length > 0) yield operations;
}
