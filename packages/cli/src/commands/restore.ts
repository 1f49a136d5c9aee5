/** `kafscale restore`: a new topic with another topic's records up to a time. The other one is only read. */
import { restoreFromStores } from '@kafscale/broker';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { explained, maintenanceConfig } from '../maintenance-config.ts';
import { CommandError, print } from '../output.ts';
import { inMebibytes, progressLines } from '../progress-lines.ts';

export interface RestoreCommandOptions {
  readonly topic: string;
  readonly targetTopic: string;
  /** RFC 3339. */
  readonly to: string;
  readonly dataDir?: string;
  /** MiB per second. */
  readonly rate?: number;
}

const mebibyte = 2 ** 20;
const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

export async function restore({ topic, targetTopic, to, dataDir, rate }: RestoreCommandOptions): Promise<void> {
  const toMs = parseTime(to);
  const config = maintenanceConfig({ ...(dataDir !== undefined && { dataDir }) }, 'metadata');
  const show = progressLines(systemClock);
  const { partitions, records, bytes } = await explained(config, () =>
    restoreFromStores(
      config,
      { clock: systemClock, random: cryptoRandom },
      {
        topic,
        targetTopic,
        toMs,
        ...(rate !== undefined && { bytesPerSecond: rate * mebibyte }),
        onProgress: ({ partitionsDone, partitions: all, bytesCopied }) =>
          show(`  ${partitionsDone} of ${all} partitions, ${inMebibytes(bytesCopied)} copied`),
      },
    ),
  );
  print(
    `Topic ${targetTopic} has ${records} records (${inMebibytes(bytes)}) in ${partitions} partitions: those of ${topic} up to ${new Date(toMs).toISOString()}, with the offsets they have there.`,
  );
}

/** Milliseconds since the Unix epoch. Throws CommandError. */
export function parseTime(text: string): number {
  const ms = Date.parse(text);
  if (rfc3339.test(text) && !Number.isNaN(ms)) return ms;
  throw new CommandError(
    `${text} is no time as RFC 3339 has it. Write it with its offset from UTC, like 2026-02-03T04:05:06Z or 2026-02-03T05:05:06.789+01:00.`,
  );
}
