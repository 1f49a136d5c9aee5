/** The table: medians of all rounds side by side, and ours as a ratio of Kafka's, turned so that above 1 is better. */
import { cpus, totalmem } from 'node:os';
import { newestKafkaVersion } from '@kafscale/testkit';
import { measures, type Measure, type Sample } from './measures.ts';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function shown(value: number): string {
  if (Number.isNaN(value)) return '-';
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function range(values: readonly number[]): string {
  return values.length > 1 ? `${shown(Math.min(...values))} to ${shown(Math.max(...values))}` : '';
}

/** Markdown, readable as it is in a terminal. */
export function table(kafka: readonly Sample[], ours: readonly Sample[]): string {
  const rows = (Object.keys(measures) as Measure[]).flatMap((measure) => {
    const valuesOf = (samples: readonly Sample[]): number[] => samples.flatMap((sample) => sample[measure] ?? []);
    const [theirs, mine] = [valuesOf(kafka), valuesOf(ours)];
    if (theirs.length === 0 && mine.length === 0) return [];
    const { title, unit, better } = measures[measure];
    const ratio = better === 'more' ? median(mine) / median(theirs) : median(theirs) / median(mine);
    return [
      [
        title,
        unit,
        shown(median(theirs)),
        range(theirs),
        shown(median(mine)),
        range(mine),
        Number.isNaN(ratio) ? '-' : `${ratio.toFixed(2)}x`,
      ],
    ];
  });
  const head = ['measure', 'unit', `Kafka ${newestKafkaVersion}`, 'range', 'KafScale', 'range', 'better by'];
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, n) => cell.padEnd(widths[n]!)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** What the numbers were measured on. */
export function machine(): string {
  const processors = cpus();
  const model = processors[0]?.model ?? 'unknown processor';
  return `${processors.length} x ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}
