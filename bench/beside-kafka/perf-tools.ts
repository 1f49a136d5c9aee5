/** Kafka's own measuring tools, the same for both sides, and what they print. */
import { kafkaClasspath, runProgram } from '@kafscale/testkit';

export interface ProduceLoad {
  readonly topic: string;
  readonly records: number;
  readonly recordBytes: number;
  /** Records per second; -1 for as fast as it goes. */
  readonly throughput: number;
}

export interface ProduceResult {
  readonly megabytesPerSecond: number;
  readonly recordsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const tool = async (name: string, args: readonly string[]): Promise<string> =>
  runProgram('java', ['-Xmx512M', '-cp', await kafkaClasspath(), `org.apache.kafka.tools.${name}`, ...args], {
    timeoutMs: 300_000,
  });

const summary =
  /(\d+) records sent, ([\d.]+) records\/sec \(([\d.]+) MB\/sec\), .*?, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th/g;

/** kafka-producer-perf-test with the producer's defaults. Its MB are of 2^20 bytes. */
export async function producerPerf(bootstrap: string, load: ProduceLoad): Promise<ProduceResult> {
  const output = await tool('ProducerPerformance', [
    ...['--bootstrap-server', bootstrap, '--topic', load.topic],
    ...['--num-records', String(load.records), '--record-size', String(load.recordBytes)],
    ...['--throughput', String(load.throughput)],
  ]);
  const last = [...output.matchAll(summary)].at(-1);
  if (last === undefined) throw new Error(`no summary in\n${output.slice(-1_000)}`);
  return {
    recordsPerSecond: Number(last[2]),
    megabytesPerSecond: Number(last[3]),
    p50Ms: Number(last[4]),
    p99Ms: Number(last[6]),
  };
}

export interface ConsumeResult {
  /** From its first assignment to its last record. */
  readonly fetchMegabytesPerSecond: number;
  readonly endedMs: number;
  readonly records: number;
}

/** kafka-consumer-perf-test with the consumer's defaults, from the start of the topic or from its end. */
export async function consumerPerf(
  bootstrap: string,
  { topic, records, group, from }: { topic: string; records: number; group: string; from: 'start' | 'end' },
): Promise<ConsumeResult> {
  const output = await tool('ConsumerPerformance', [
    ...['--bootstrap-server', bootstrap, '--topic', topic, '--group', group, '--hide-header'],
    ...['--num-records', String(records), '--timeout', '60000', '--date-format', 'yyyy-MM-dd HH:mm:ss.SSS'],
    ...(from === 'end' ? ['--from-latest'] : []),
  ]);
  const fields = (output.trim().split('\n').at(-1) ?? '').split(', ');
  if (fields.length !== 10) throw new Error(`no summary in\n${output.slice(-1_000)}`);
  return {
    endedMs: new Date(fields[1]!.replace(' ', 'T')).getTime(),
    records: Number(fields[4]),
    fetchMegabytesPerSecond: Number(fields[8]),
  };
}
