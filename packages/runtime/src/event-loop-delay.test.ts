import { measureEventLoopDelay } from './event-loop-delay.ts';

describe('measureEventLoopDelay', () => {
  it('sees a loop that was held up, and forgets it once it was taken', async () => {
    const delay = measureEventLoopDelay();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const untilMs = performance.now() + 80;
    while (performance.now() < untilMs) continue;
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { p99Seconds, maxSeconds } = delay.take();
    expect(maxSeconds).toBeGreaterThan(0.05);
    expect(p99Seconds).toBeLessThanOrEqual(maxSeconds);
    expect(delay.take().maxSeconds).toBeLessThan(maxSeconds);
    delay.stop();
  });
});
