/** Every number of the comparison: its name, unit and whether more of it is better. */
export const measures = {
  produce1KiB: { title: 'produce, 1 KiB records', unit: 'MB/s', better: 'more' },
  produce1KiBCpu: { title: 'produce, 1 KiB: broker CPU', unit: 's/GB', better: 'less' },
  produce100B: { title: 'produce, 100 B records', unit: 'MB/s', better: 'more' },
  produce100BCpu: { title: 'produce, 100 B: broker CPU', unit: 's/GB', better: 'less' },
  consumeStart: { title: 'consume from the start', unit: 'MB/s', better: 'more' },
  consumeStartCpu: { title: 'consume from the start: broker CPU', unit: 's/GB', better: 'less' },
  consumeTail: { title: 'consume at the tail while producing', unit: 'MB/s', better: 'more' },
  consumeTailCpu: { title: 'produce and consume at the tail: broker CPU', unit: 's/GB', better: 'less' },
  latencyP50: { title: 'produce latency at 5 MB/s, p50', unit: 'ms', better: 'less' },
  latencyP99: { title: 'produce latency at 5 MB/s, p99', unit: 'ms', better: 'less' },
  latencyCpu: { title: 'produce at 5 MB/s: broker CPU', unit: 's/GB', better: 'less' },
  busyRss: { title: 'resident memory after the load', unit: 'MB', better: 'less' },
  firstProduce: { title: 'start to first accepted produce', unit: 'ms', better: 'less' },
  idleRss: { title: 'resident memory, idle', unit: 'MB', better: 'less' },
  connectedRss: { title: 'resident memory, 10 000 idle connections', unit: 'MB', better: 'less' },
} as const satisfies Record<string, { title: string; unit: string; better: 'more' | 'less' }>;

export type Measure = keyof typeof measures;

/** What one round of one side measured. */
export type Sample = Partial<Record<Measure, number>>;
