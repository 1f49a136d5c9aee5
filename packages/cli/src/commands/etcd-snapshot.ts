/** `kafscale etcd-snapshot`: a snapshot of etcd, checked and read back, in the bucket beside the brokers' objects. */
import { openBucket } from '@kafscale/broker';
import { connectEtcd, snapshotsPrefix, takeSnapshot } from '@kafscale/operator';
import { cryptoRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { writeFile } from 'node:fs/promises';
import { bucketConfig, explained } from '../maintenance-config.ts';
import { CommandError, print } from '../output.ts';
import { inMebibytes } from '../progress-lines.ts';

export interface EtcdSnapshotOptions {
  readonly endpoints: readonly string[];
  readonly cluster: string;
  readonly keep: number;
  readonly report?: string;
}

export async function etcdSnapshot({ endpoints, cluster, keep, report }: EtcdSnapshotOptions): Promise<void> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(cluster)) {
    throw new CommandError(`${cluster} cannot name snapshots: take letters, digits, ".", "_" and "-".`);
  }
  const config = bucketConfig(endpoints);
  if (config.namespace === snapshotsPrefix) {
    throw new CommandError(`KAFSCALE_S3_NAMESPACE must not be ${snapshotsPrefix}: snapshots are kept beside it.`);
  }
  const taken = await explained(config, async () => {
    const store = await openBucket(config, { clock: systemClock, random: cryptoRandom, logger: silentLogger });
    try {
      return await takeSnapshot(
        { endpoints, cluster, keep },
        {
          ...{ clock: systemClock, random: cryptoRandom, logger: silentLogger, store },
          connect: connectEtcd(systemClock),
        },
      );
    } finally {
      await store.close();
    }
  });
  if (report !== undefined) await writeFile(report, JSON.stringify(taken));
  print(
    `Took ${taken.key} (${inMebibytes(taken.sizeBytes)}, revision ${taken.revision}); ${taken.deleted} older ones were deleted.`,
  );
}
