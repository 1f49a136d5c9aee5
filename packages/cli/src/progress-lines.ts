/** Progress of long work as lines on standard error, not more often than every few seconds. */
import type { Clock } from '@kafscale/runtime';
import { printError } from './output.ts';

const spacingMs = 2_000;
const mebibyte = 2 ** 20;

/** Prints what it is told, unless it has just printed. */
export function progressLines(clock: Clock, write: (line: string) => void = printError): (line: string) => void {
  let lastMs = -Infinity;
  return (line) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - lastMs < spacingMs) return;
    lastMs = nowMs;
    write(line);
  };
}

export const inMebibytes = (bytes: number): string => `${(bytes / mebibyte).toFixed(1)} MiB`;
