/** Steps of a command that takes a while: a spinner on a terminal, one line per step in a log. */
import type { Clock } from '@kafscale/runtime';

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;
const eraseLine = '\r\u001b[2K';

/** The part of a stream that is written to. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Runs `work`, showing `label` while it lasts and how it ended. Settles as `work` does. */
export async function withProgress<Result>(
  label: string,
  work: () => Promise<Result>,
  clock: Clock,
  stream: ProgressStream = process.stderr,
): Promise<Result> {
  const stopSpinner = stream.isTTY === true ? spin(label, clock, stream) : () => undefined;
  try {
    const result = await work();
    stopSpinner();
    stream.write(`✓ ${label}\n`);
    return result;
  } catch (error) {
    stopSpinner();
    stream.write(`✗ ${label}\n`);
    throw error;
  }
}

/** A line beside a step that is shown; the spinner draws itself again below it. */
export function note(text: string, stream: ProgressStream = process.stderr): void {
  stream.write(`${stream.isTTY === true ? eraseLine : ''}${text}\n`);
}

function spin(label: string, clock: Clock, stream: ProgressStream): () => void {
  let frame = 0;
  let cancel = () => undefined as void;
  const draw = (): void => {
    stream.write(`${eraseLine}${frames[frame % frames.length]!} ${label}`);
    frame += 1;
    cancel = clock.schedule(frameMs, draw);
  };
  draw();
  return () => {
    cancel();
    stream.write(eraseLine);
  };
}
