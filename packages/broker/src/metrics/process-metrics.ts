/** What the process itself uses: time, processor, memory, and how late its event loop is. */
import { measureEventLoopDelay, type Clock } from '@kafscale/runtime';
import type { BrokerMetrics } from './metrics.ts';

/** Fills the gauges at every scrape, until the returned function is called. */
export function reportProcess(metrics: BrokerMetrics, clock: Clock): () => void {
  const startedMs = clock.monotonicMs();
  const delay = measureEventLoopDelay();
  let lastMs = startedMs;
  let lastCpu = process.cpuUsage();

  metrics.beforeScrape(() => {
    const nowMs = clock.monotonicMs();
    const cpu = process.cpuUsage();
    const usedMs = (cpu.user - lastCpu.user + cpu.system - lastCpu.system) / 1_000;
    if (nowMs > lastMs) metrics.cpuPercent.set((100 * usedMs) / (nowMs - lastMs));
    lastMs = nowMs;
    lastCpu = cpu;

    const memory = process.memoryUsage();
    metrics.uptimeSeconds.set((nowMs - startedMs) / 1_000);
    metrics.memoryAllocatedBytes.set(memory.heapUsed + memory.external);
    metrics.memorySystemBytes.set(memory.rss);
    metrics.heapInUseBytes.set(memory.heapUsed);

    const { p99Seconds, maxSeconds } = delay.take();
    metrics.eventLoopDelayP99Seconds.set(p99Seconds);
    metrics.eventLoopDelayMaxSeconds.set(maxSeconds);
  });
  return () => delay.stop();
}
