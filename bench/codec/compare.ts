// Times several ways of doing one thing in turns, so that a slow moment of the machine meets all of them, and prints them as
// ratios of the first. Time is CPU time of the process, garbage collection included; what else runs counts for little.

export interface Contender {
  readonly name: string;
  /** Does the thing once; what it answers is kept, so that the work is not optimised away. */
  readonly run: () => unknown;
  /** Bytes that one run goes over, to print a rate. */
  readonly bytes?: number;
}

const rounds = 7;
const roundMs = 120;
const kept: unknown[] = [];

/** Prints one line per contender: median time of a run over the rounds, rate, and time as a multiple of the first. */
export function compare(title: string, contenders: readonly Contender[]): void {
  const repeats = contenders.map(({ run }) => repeatsFor(run));
  const timings = contenders.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { run }] of contenders.entries()) timings[index]!.push(time(run, repeats[index]!));
  }
  console.log(`\n${title}`);
  const medians = timings.map((times) => times.sort((a, b) => a - b)[rounds >> 1]!);
  for (const [index, { name, bytes }] of contenders.entries()) {
    const ns = medians[index]!;
    const rate = bytes === undefined ? `${format(1e9 / ns)} /s` : `${format((bytes / ns) * 1000)} MB/s`;
    const ratio = index === 0 ? '' : `${(ns / medians[0]!).toFixed(2)}x`;
    console.log(`  ${name.padEnd(44)} ${`${format(ns)} ns`.padStart(14)} ${rate.padStart(16)} ${ratio.padStart(9)}`);
  }
}

/** Runs for a while, to warm up, and answers how many runs fill a round. */
function repeatsFor(run: () => unknown): number {
  let repeats = 1;
  for (;;) {
    const ns = time(run, repeats);
    if (ns * repeats > (roundMs * 1e6) / 2) return Math.max(1, Math.round((roundMs * 1e6) / ns));
    repeats *= 2;
  }
}

/** CPU nanoseconds of one run, over many. */
function time(run: () => unknown, repeats: number): number {
  let last: unknown;
  const start = process.cpuUsage();
  for (let index = 0; index < repeats; index++) last = run();
  const used = process.cpuUsage(start);
  kept[0] = last;
  return ((used.user + used.system) * 1000) / repeats;
}

const format = (value: number) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3));
