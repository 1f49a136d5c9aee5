/** `kafscale verify`: reads every committed byte of a cluster and accounts for every object in its bucket. Changes nothing. */
import { verifyStores, type Finding, type VerifyProgress, type VerifyReport } from '@kafscale/broker';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { explained, maintenanceConfig } from '../maintenance-config.ts';
import { CommandError, print } from '../output.ts';
import { inMebibytes, progressLines } from '../progress-lines.ts';

export interface VerifyCommandOptions {
  readonly dataDir?: string;
  /** MiB per second. */
  readonly rate?: number;
  readonly json?: boolean;
}

const mebibyte = 2 ** 20;
const shownFindings = 200;
const shownGarbage = 20;
const steps: Readonly<Record<VerifyProgress['step'], string>> = {
  metadata: 'reading the metadata',
  flushes: 'flush objects',
  segments: 'partitions with segments',
  objects: 'objects in the bucket',
};

export async function verify({ dataDir, rate, json }: VerifyCommandOptions): Promise<void> {
  const config = maintenanceConfig({ ...(dataDir !== undefined && { dataDir }) }, 'metadata');
  const show = progressLines(systemClock);
  const report = await explained(config, () =>
    verifyStores(
      config,
      { clock: systemClock, random: cryptoRandom },
      {
        ...(rate !== undefined && { bytesPerSecond: rate * mebibyte }),
        onProgress: (progress) => show(progressText(progress)),
      },
    ),
  );
  print(json === true ? JSON.stringify(report, undefined, 2) : reportText(report));
  if (report.findingCount > 0) throw new CommandError(verdictText(report));
}

function progressText({ step, done, total, bytesRead }: VerifyProgress): string {
  const count = total > 0 ? `${done} of ${total} ` : done > 0 ? `${done} ` : '';
  return `  ${count}${steps[step]}, ${inMebibytes(bytesRead)} read`;
}

export function reportText(report: VerifyReport): string {
  const { objects, findings, findingCount, garbageExamples } = report;
  const lines = [
    `Read ${report.records} records in ${report.batches} batches (${inMebibytes(report.bytesRead)}): ${report.topics} topics, ${report.partitions} partitions, ${report.extents} extents, ${report.segments} segments, as of revision ${report.revision}.`,
    `Objects: ${objects.referenced} referenced, ${objects.cluster} of the cluster itself, ${objects.open} on their way, ${objects.garbage} garbage, ${objects.unknown} unknown.`,
  ];
  for (const key of garbageExamples.slice(0, shownGarbage)) lines.push(`  garbage  ${key}`);
  if (objects.garbage > shownGarbage)
    lines.push(`  … and ${objects.garbage - shownGarbage} more; garbage is deleted by the brokers.`);
  for (const finding of findings.slice(0, shownFindings)) lines.push(findingText(finding));
  if (findingCount > shownFindings) lines.push(`… and ${findingCount - shownFindings} more; --json shows them.`);
  if (findingCount === 0) lines.push('Everything is there and whole.');
  return lines.join('\n');
}

function findingText({ kind, object, topic, partition, detail }: Finding): string {
  const where = [topic !== undefined && `${topic}-${partition ?? '?'}`, object].filter(Boolean).join('  ');
  return `✗ ${kind}  ${where}\n    ${detail}`;
}

const verdictText = ({ findingCount }: VerifyReport) =>
  `${findingCount} ${findingCount === 1 ? 'finding' : 'findings'}. docs/reference/recovery.md says what to do about each kind.`;
