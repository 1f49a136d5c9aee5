/**
 * A process from start to end: components start in the order they are named and stop in reverse, signals ask for the end, and a
 * broken invariant ends the process at once rather than letting it go on with what it no longer understands.
 */
import type { Logger } from './logger.ts';

interface Started {
  readonly name: string;
  readonly stop: () => Promise<void> | void;
}

export class Lifecycle {
  readonly #logger: Logger;
  readonly #started: Started[] = [];
  #stopping: Promise<void> | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * Starts a component and remembers how to stop it. When `start` fails, everything started before is stopped and the failure is
   * passed on.
   */
  async start<Component>(
    name: string,
    start: () => Promise<Component> | Component,
    stop: (component: Component) => Promise<void> | void,
  ): Promise<Component> {
    if (this.#stopping !== undefined) throw new Error(`${name} started while the process stops`);
    try {
      const component = await start();
      this.#started.push({ name, stop: () => stop(component) });
      this.#logger.debug({ name }, 'component started');
      return component;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops everything in reverse order, each once. A component that fails to stop is logged and does not keep the others running. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (let last = this.#started.pop(); last !== undefined; last = this.#started.pop()) {
      try {
        await last.stop();
        this.#logger.debug({ name: last.name }, 'component stopped');
      } catch (error) {
        this.#logger.error({ name: last.name, err: error }, 'component failed to stop');
      }
    }
  }
}

/** Resolves with the first SIGINT or SIGTERM. A second one ends the process at once: whoever repeats it does not want to wait. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(signal === 'SIGINT' ? 130 : 143);
      asked = true;
      resolve(signal);
    };
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  });
}

/** An error that nobody handled ends the process with exit code 70; what was acknowledged is durable, so a crash is safe. */
export function failStopOnUncaughtErrors(logger: Logger): void {
  const die = (error: unknown): void => {
    logger.fatal({ err: error }, 'uncaught error, process ends');
    process.exit(70);
  };
  process.on('uncaughtException', die).on('unhandledRejection', die);
}
