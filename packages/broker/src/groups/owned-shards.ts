/** Group shards as ownership.ts knows them: opened and given up by the coordinator, each at its own pace. */
import type { Logger } from '@kafscale/runtime';
import type { AcquiredPartition, HeldPartition, OwnedKind } from '../cluster/owned-kind.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { Revision } from '../metadata/metadata-store.ts';
import type { GroupCoordinator } from './group-coordinator.ts';

export class OwnedShards implements OwnedKind {
  readonly #coordinator: GroupCoordinator;
  readonly #logger: Logger;

  constructor(coordinator: GroupCoordinator, logger: Logger) {
    this.#coordinator = coordinator;
    this.#logger = logger;
  }

  async open(acquired: readonly AcquiredPartition[], revision: Revision): Promise<void> {
    await Promise.all(acquired.map(({ partition: shard, record }) => this.#open(shard, record.leaderEpoch, revision)));
  }

  async giveUp(shards: readonly HeldPartition[]): Promise<readonly undefined[]> {
    return Promise.all(
      shards.map(async ({ partition }) => {
        await this.#coordinator.giveUpShard(partition);
        return undefined;
      }),
    );
  }

  /** A shard that cannot be read stays closed, as it would with the next owner too. */
  async #open(shard: number, epoch: number, revision: Revision): Promise<void> {
    try {
      await this.#coordinator.openShard({ shard, epoch, revision });
    } catch (error) {
      if (!(error instanceof MetadataError) || error.kind !== 'corrupt') throw error;
      this.#logger.error(
        { err: error, shard },
        'a shard of the groups stays closed: what is stored of it does not decode',
      );
    }
  }
}
