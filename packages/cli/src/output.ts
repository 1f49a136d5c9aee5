/** What the commands print: results on standard output, everything else on standard error, colours only where they are seen. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** `text` in a style on a terminal that has colours, plain everywhere else. */
export function styled(style: Style, text: string): string {
  const hasColors = process.stdout.isTTY && process.stdout.hasColors();
  return hasColors ? styleText(style, text) : text;
}

/** A failure whose text tells the user what to do next; shown without a stack. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
