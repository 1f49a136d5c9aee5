export type { CancelTimer, Clock } from './clock.ts';
export { Slab, SlabPool, type SlabPoolSettings } from './slab-pool.ts';
