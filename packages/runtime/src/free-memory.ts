/**
 * Gives memory back at once rather than at the next garbage collection, which knows nothing of a process's bounds and lets as much
 * again be taken before it runs.
 */
import { MessageChannel } from 'node:worker_threads';

const { port1: nowhere } = new MessageChannel();
nowhere.close();

/**
 * The buffer is empty afterwards, as is whatever else lies in its memory. Only for memory that was allocated for it alone
 * (`Buffer.allocUnsafeSlow`) and that no call to the system is using.
 */
export function freeMemory({ buffer }: Buffer): void {
  // What is transferred to a closed port is received by nobody, and gone.
  nowhere.postMessage(undefined, [buffer as ArrayBuffer]);
}
