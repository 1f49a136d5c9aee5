/** The commands that work on a cluster's stores, as the command line has them; each is loaded when it is run. */
import { InvalidArgumentError, type Command } from 'commander';
import type { RebuildCommandOptions } from './commands/rebuild.ts';
import type { RestoreCommandOptions } from './commands/restore.ts';
import type { VerifyCommandOptions } from './commands/verify.ts';

const storesHelp = `
Stores are chosen as for a broker: KAFSCALE_S3_… and KAFSCALE_ETCD_… variables, or --data-dir for the folder of \`kafscale dev\`, which
takes one process at a time: stop the broker first.`;

export function addMaintenanceCommands(program: Command): void {
  addVerify(program);
  addRestore(program);
  addRebuild(program);
}

function addVerify(program: Command): void {
  program
    .command('verify')
    .summary('read everything and account for every object')
    .description(
      'Reads every committed record of every topic, checks checksums, offsets and indexes, and accounts for every object in the bucket. Changes nothing, and may run beside living brokers. Ends with exit code 1 if anything is wrong.',
    )
    .option('--rate <MiB/s>', 'read no faster than this', parseRate)
    .option('--json', 'print the report as JSON')
    .option('--data-dir <folder>', 'folder of the embedded stores')
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale verify
  $ kafscale verify --rate 50 --json > report.json
  $ kafscale verify --data-dir .kafscale
${storesHelp}

What each finding means, and what to do: docs/reference/recovery.md`,
    )
    .action(async (options: VerifyCommandOptions) => {
      const { verify } = await import('./commands/verify.ts');
      await verify(options);
    });
}

function addRestore(program: Command): void {
  program
    .command('restore')
    .summary("make a topic with another one's records up to a time")
    .description(
      'Copies the records of a topic up to a point in time into a new topic, with their partitions, offsets and settings. In each partition it stops before the first record whose timestamp is later. The source is only read; the new topic appears whole, or not at all.',
    )
    .requiredOption('--topic <name>', 'where the records are')
    .requiredOption('--target-topic <name>', 'the new topic')
    .requiredOption('--to <time>', 'the last timestamp to take, RFC 3339')
    .option('--rate <MiB/s>', 'read no faster than this', parseRate)
    .option('--data-dir <folder>', 'folder of the embedded stores')
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale restore --topic orders --target-topic orders-before --to 2026-02-03T04:05:06Z
  $ kafscale restore --topic orders --target-topic orders-before --to 2026-02-03T05:05:06.789+01:00 --rate 50
${storesHelp}

An interrupted restore is simply run again; what it left is deleted by the brokers after a while. The new topic keeps the settings of the
other one: where those delete by age, raise retention.ms before old records go.`,
    )
    .action(async (options: RestoreCommandOptions) => {
      const { restore } = await import('./commands/restore.ts');
      await restore(options);
    });
}

function addRebuild(program: Command): void {
  program
    .command('rebuild')
    .summary('bring a lost metadata store back from the bucket')
    .description(
      'Fills an empty metadata store (etcd, or the embedded one) from what the bucket holds: topics, ids, offsets, leader epochs, producers, and groups as of the last checkpoint. Prints what it would do, and does it with --yes.',
    )
    .option('--yes', 'do it')
    .option('--replace', 'also where the store holds this cluster, as an older backup that brokers refuse')
    .option('--data-dir <folder>', 'folder of the embedded stores')
    .addHelpText(
      'after',
      `
When to use it: etcd is gone, and so is every backup that is as new as the bucket. Stop all brokers first.
  $ kafscale rebuild            shows what would be brought back, and how old the checkpoint is
  $ kafscale rebuild --yes
  $ kafscale verify
${storesHelp}

It refuses a store that is not empty and a bucket that is being written to. Interrupted, it is simply run again. What comes back, and
what cannot: docs/reference/recovery.md`,
    )
    .action(async (options: RebuildCommandOptions) => {
      const { rebuild } = await import('./commands/rebuild.ts');
      await rebuild(options);
    });
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (!Number.isFinite(rate) || rate <= 0)
    throw new InvalidArgumentError('A rate is a number of MiB per second above 0.');
  return rate;
}
