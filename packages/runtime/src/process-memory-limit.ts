/** What the system lets this process have. */
import { totalmem } from 'node:os';

/** Bytes of memory after which the process is killed, as a container sets it (cgroup v1 and v2); undefined where nothing does. */
export function processMemoryLimit(
  constrainedBytes = process.constrainedMemory() as number | undefined,
  machineBytes = totalmem(),
): number | undefined {
  // Without a limit the kernel says 0, or more than any machine has.
  if (constrainedBytes === undefined || constrainedBytes <= 0 || constrainedBytes >= machineBytes) return undefined;
  return constrainedBytes;
}
