/** How much garbage JavaScript's heap may hold before it is collected. */
import { setFlagsFromString } from 'node:v8';

/** Of what is alive; left to itself V8 waits for up to three times as much while the heap is small. */
const garbagePercent = 30;

/** For processes that are to stay within a bound: the heap is collected when it has grown by a third, not by a multiple. */
export function boundHeap(): void {
  setFlagsFromString(`--heap-growing-percent=${garbagePercent}`);
}
