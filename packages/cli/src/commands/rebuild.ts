/** `kafscale rebuild`: fills an empty metadata store from the bucket, after the old one was lost. Without `--yes` it only says what it would do. Fails, when it is done, if something is lost. */
import { rebuildStores, type RebuildPlan } from '@kafscale/broker';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { explained, maintenanceConfig } from '../maintenance-config.ts';
import { CommandError, print, printError } from '../output.ts';
import { progressLines } from '../progress-lines.ts';

export interface RebuildCommandOptions {
  readonly yes?: boolean;
  readonly replace?: boolean;
  readonly dataDir?: string;
}

const shownFaults = 50;

export async function rebuild({ yes, replace, dataDir }: RebuildCommandOptions): Promise<void> {
  const config = maintenanceConfig({ ...(dataDir !== undefined && { dataDir }) }, 'objects');
  const show = progressLines(systemClock);
  let missing: readonly string[] = [];
  const { isDone } = await explained(config, () =>
    rebuildStores(
      config,
      { clock: systemClock, random: cryptoRandom },
      {
        confirm: (plan) => {
          print(planText(plan, systemClock.wallMs()));
          if (replace === true) print('  What the metadata store holds of this cluster now is replaced by all that.');
          missing = [...plan.summary.lost, ...plan.summary.faults];
          return yes === true;
        },
        replaces: replace === true,
        onProgress: (text) => show(`  ${text}`),
      },
    ),
  );
  if (isDone) print('\nRebuilt. Start the brokers, then check the data with: kafscale verify');
  else printError('\nNothing was written. To do it, run it again with --yes.');
  if (isDone && missing.length > 0)
    throw new CommandError('Not everything could be brought back: see the lines with ✗ above.');
}

export function planText({ clusterId, generation, checkpoint, summary }: RebuildPlan, nowMs: number): string {
  const lines = [
    `Cluster ${clusterId}, from now on generation ${generation}`,
    checkpoint === undefined
      ? '  checkpoint   none: settings of topics, groups and their offsets are lost'
      : `  checkpoint   ${age(nowMs - checkpoint.createdMs)} old (${new Date(checkpoint.createdMs).toISOString()}); settings, deletions, log starts and offsets of groups are as they were then`,
    `  topics       ${summary.topics} with ${summary.partitions} partitions`,
    `  groups       ${summary.groups}`,
    `  flushes      ${summary.flushesAdded} newer than the checkpoint; the last of each broker (${summary.flushesUnnamed}) may hold records that were never acknowledged, and is kept`,
    `  dropped      ${summary.flushesDropped} flushes that were never committed`,
    `  producer ids from ${summary.nextProducerId} on`,
  ];
  if (summary.topicsWithoutSettings.length > 0) {
    lines.push(
      `  Settings are lost of: ${summary.topicsWithoutSettings.join(', ')}. Set them again with kafka-configs.`,
    );
  }
  if (summary.topicsReplaced.length > 0) {
    lines.push(`  Deleted and created again since the checkpoint: ${summary.topicsReplaced.join(', ')}`);
  }
  for (const warning of summary.warnings) lines.push(`  ! ${warning}`);
  for (const fault of summary.faults.slice(0, shownFaults)) {
    lines.push(`  ✗ ${fault}. The partition stays closed until this is solved.`);
  }
  for (const lost of summary.lost) {
    lines.push(`  ✗ ${lost}. What it is about stays closed until the object is back, or its topic is deleted.`);
  }
  if (summary.faults.length > shownFaults) lines.push(`  … and ${summary.faults.length - shownFaults} more`);
  return lines.join('\n');
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
