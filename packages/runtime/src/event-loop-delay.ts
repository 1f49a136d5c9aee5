/** How late the event loop is: what a client feels of everything that runs too long at once. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface EventLoopDelay {
  /** The delays since the last call, seconds. */
  take(): { readonly p99Seconds: number; readonly maxSeconds: number };
  stop(): void;
}

const resolutionMs = 10;
const nanosecondsPerSecond = 1e9;

/** Starts measuring. */
export function measureEventLoopDelay(): EventLoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  // The histogram holds the whole time between two samples, of which the resolution itself is no delay.
  const delaySeconds = (nanoseconds: number): number =>
    Math.max(0, nanoseconds / nanosecondsPerSecond - resolutionMs / 1_000);
  return {
    take() {
      const delays = {
        p99Seconds: delaySeconds(histogram.percentile(99)),
        maxSeconds: delaySeconds(histogram.max),
      };
      histogram.reset();
      return delays;
    },
    stop: () => void histogram.disable(),
  };
}
