/**
 * When a broker brings what it knows of all flushes up to date: from time to time while there are others whose partitions might come, and
 * at once when the controller gives it some of theirs, which is before their owners let go of them.
 */
import type { Clock, Logger } from '@kafscale/runtime';
import type { KnownFlushes } from './known-flushes.ts';
import { UpkeepLoop } from './upkeep-loop.ts';

export interface KeepingUpDependencies {
  readonly known: KnownFlushes;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether partitions of others may ever come. */
  readonly hasOthers: () => boolean;
}

const intervalMs = 10_000;

export class KeepingUp {
  readonly #loop: UpkeepLoop;
  /** Partitions are about to come. */
  #isExpecting = false;

  constructor({ known, clock, logger, hasOthers }: KeepingUpDependencies) {
    const round = async () => {
      const everything = this.#isExpecting;
      this.#isExpecting = false;
      if (hasOthers()) await known.keepUp({ everything });
      else known.clear();
    };
    this.#loop = new UpkeepLoop({ clock, logger, intervalMs, round });
  }

  /** Partitions of owners that live were given to this broker. */
  expect(): void {
    this.#isExpecting = true;
    this.#loop.wake();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }
}
