/** Waiting for what another part of the system does in its own time, in tests that run on the real clock. */

const defaultPauseMs = 2;

/** Resolves once `condition` holds, asked every `pauseMs`; rejects with what was waited for when it does not within `timeoutMs`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
  pauseMs = defaultPauseMs,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
