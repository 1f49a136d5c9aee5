/** Lines of the report, as Markdown that is readable in a terminal. */

export function title(text: string): void {
  console.log(`\n${text}\n\n| what | measured | floor | |\n| --- | --- | --- | --- |`);
}

export function row(what: string, value: string, floor = '', isMet?: boolean): void {
  const verdict = isMet === undefined ? '' : isMet ? 'met' : 'MISSED';
  console.log(`| ${what} | ${value} | ${floor} | ${verdict} |`);
}

export const quantile = (samples: readonly number[], share: number): number =>
  [...samples].sort((a, b) => a - b)[Math.min(samples.length - 1, Math.floor(samples.length * share))] ?? NaN;
