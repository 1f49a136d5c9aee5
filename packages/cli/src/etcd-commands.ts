/** The commands around an etcd that the operator runs, as the command line has them; each is loaded when it is run. */
import { InvalidArgumentError, type Command } from 'commander';
import type { EtcdPrepareOptions } from './commands/etcd-prepare.ts';
import type { EtcdSnapshotOptions } from './commands/etcd-snapshot.ts';

export function addEtcdCommands(program: Command): void {
  program
    .command('etcd-snapshot')
    .summary('take a snapshot of etcd into the bucket')
    .description(
      'Takes a snapshot of an etcd, checks it, stores it in the bucket below etcd-snapshots/, reads it back, and then deletes older ones. The operator runs it on a schedule; it may be run by hand too.',
    )
    .requiredOption('--endpoints <urls>', 'URLs of all members, with commas between them', parseList)
    .requiredOption('--cluster <name>', 'names it in the bucket; the operator uses namespace.name')
    .option('--keep <number>', 'snapshots kept, this one included', parseCount, 48)
    .option('--report <file>', 'also write the result there, as JSON')
    .addHelpText(
      'after',
      `
Example:
  $ export KAFSCALE_S3_BUCKET=records KAFSCALE_S3_REGION=eu-central-1
  $ kafscale etcd-snapshot --endpoints http://etcd-1:2379,http://etcd-2:2379 --cluster shop.kafscale

How to restore one: docs/operations/etcd.md`,
    )
    .action(async (options: EtcdSnapshotOptions) => {
      const { etcdSnapshot } = await import('./commands/etcd-snapshot.ts');
      await etcdSnapshot(options);
    });

  program
    .command('etcd-prepare', { hidden: true })
    .description(
      'Makes the volume of an etcd member ready for its start. The operator runs it before etcd in each pod.',
    )
    .requiredOption('--plan <file>', 'what the operator says about the members')
    .requiredOption('--folder <folder>', "the member's volume")
    .option('--member <name>', "the member's name (default: $POD_NAME)")
    .action(async (options: EtcdPrepareOptions) => {
      const { etcdPrepare } = await import('./commands/etcd-prepare.ts');
      await etcdPrepare(options);
    });
}

const parseList = (text: string): readonly string[] => text.split(',').filter((part) => part !== '');

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 1) throw new InvalidArgumentError('That is a number from 1 on.');
  return count;
}
