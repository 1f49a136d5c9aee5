/** Alarms about objects, each raised once: a consumer that tries again and again must not fill the log with one fault. */
import type { Logger } from '@kafscale/runtime';

const maxRemembered = 1_000;

export class Alarms {
  readonly #logger: Logger;
  readonly #raised = new Set<string>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Writes an error about the object unless there was one. */
  raise(objectKey: string, fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.#raised.has(objectKey)) return;
    if (this.#raised.size === maxRemembered) this.#raised.clear();
    this.#raised.add(objectKey);
    this.#logger.error({ ...fields, objectKey }, message);
  }
}
