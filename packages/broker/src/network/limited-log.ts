/** Log lines that a client can cause: so many per message and minute, then only counted, so that nobody can fill a disk with them. */
import type { Clock, LogFields, Logger } from '@kafscale/runtime';

const windowMs = 60_000;
const linesPerWindow = 10;

interface Window {
  startedMs: number;
  lines: number;
  suppressed: number;
}

export class LimitedLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  /** By message; messages are constants of the code, so they are few. */
  readonly #windows = new Map<string, Window>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  info(fields: LogFields, message: string): void {
    const allowed = this.#admit(fields, message);
    if (allowed !== undefined) this.#logger.info(allowed, message);
  }

  error(fields: LogFields, message: string): void {
    const allowed = this.#admit(fields, message);
    if (allowed !== undefined) this.#logger.error(allowed, message);
  }

  #admit(fields: LogFields, message: string): LogFields | undefined {
    const nowMs = this.#clock.monotonicMs();
    let window = this.#windows.get(message);
    if (window === undefined || nowMs - window.startedMs >= windowMs) {
      const suppressed = window?.suppressed ?? 0;
      window = { startedMs: nowMs, lines: 1, suppressed: 0 };
      this.#windows.set(message, window);
      return suppressed === 0 ? fields : { ...fields, suppressedLines: suppressed };
    }
    if (window.lines >= linesPerWindow) {
      window.suppressed += 1;
      return undefined;
    }
    window.lines += 1;
    return fields;
  }
}
