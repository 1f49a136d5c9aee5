/** Plays many schedules and says, per seed, what went wrong; one that fails is played again alone by its seed. */
import { EventCounts } from './event-counts.model.ts';
import { runSchedule } from './world.model.ts';

const shards = 2;
const failuresShown = 5;

/** `KAFSCALE_MODEL_SCHEDULES` raises it. */
const scheduleCount = Number(process.env['KAFSCALE_MODEL_SCHEDULES'] ?? 10_000);
/** `KAFSCALE_MODEL_SEED` plays that schedule alone. */
const onlySeed = process.env['KAFSCALE_MODEL_SEED'];

export interface Played {
  readonly schedules: number;
  readonly events: EventCounts;
  /** The first few. */
  readonly failures: readonly string[];
}

export const playsOneSeed = onlySeed !== undefined;

/** The seeds of one of two test files, so that two jest workers share the work. */
export function seedsOfShard(shard: number): readonly number[] {
  if (onlySeed !== undefined) return shard === 0 ? [Number(onlySeed)] : [];
  return Array.from({ length: Math.ceil((scheduleCount - shard) / shards) }, (_, index) => index * shards + shard);
}

export async function play(seeds: readonly number[]): Promise<Played> {
  const events = new EventCounts();
  const failures: string[] = [];
  for (const seed of seeds) {
    const result = await runSchedule(seed);
    events.add(result.events);
    const [first] = result.violations;
    if (first === undefined) continue;
    failures.push(`KAFSCALE_MODEL_SEED=${seed}: ${first.kind}: ${first.detail}`);
    if (failures.length === failuresShown) break;
  }
  return { schedules: seeds.length, events, failures };
}

/** Events that happened less often than once in `perSchedules` schedules. */
export function rareEvents({ events, schedules }: Played, perSchedules: number): readonly string[] {
  return events.rarerThan(schedules / perSchedules);
}
