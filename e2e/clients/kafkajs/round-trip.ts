/** The client program of the e2e suite on KafkaJS; see clients.e2e.ts for what goes in and out. */
import kafkajs from 'kafkajs';
import SnappyCodec from 'kafkajs-snappy';
import { readRecord, recordLine, type SentRecord } from '../records.ts';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;

type Headers = Record<string, (Buffer | null)[]>;

function groupedHeaders({ headers }: SentRecord): Headers {
  const grouped: Headers = {};
  for (const [name, value] of headers) (grouped[name] ??= []).push(value);
  return grouped;
}

function kafka(bootstrap: string): InstanceType<typeof Kafka> {
  return new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.WARN });
}

/**
 * KafkaJS reports one base offset per partition and request: the first records go alone, wherever the partitioner puts them, the
 * others in batches of one partition, so that the offset of each is known.
 */
function requests(records: readonly SentRecord[]): { partition?: number; messages: readonly SentRecord[] }[] {
  const alone = 20;
  const perBatch = 100;
  const batches: { partition?: number; messages: readonly SentRecord[] }[] = records
    .slice(0, alone)
    .map((record) => ({ messages: [record] }));
  for (let start = alone; start < records.length; start += perBatch) {
    batches.push({ partition: 0, messages: records.slice(start, start + perBatch) });
  }
  return batches;
}

async function produce(bootstrap: string, topic: string, codecs: string, idempotence: string): Promise<void> {
  let input = '';
  for await (const chunk of process.stdin) input += String(chunk);
  const records = input
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => readRecord(`0\t0\t${line}`));
  const compressions = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy };
  for (const codec of codecs.split(',')) {
    const producer = kafka(bootstrap).producer(idempotence === 'default' ? {} : { idempotent: idempotence === 'on' });
    await producer.connect();
    const lines: string[] = [];
    let index = 0;
    for (const { partition, messages } of requests(records)) {
      const [report] = await producer.send({
        topic,
        compression: compressions[codec as keyof typeof compressions],
        messages: messages.map((record) => ({
          key: record.key,
          value: record.value,
          headers: groupedHeaders(record) as Record<string, Buffer[]>,
          ...(partition !== undefined && { partition }),
        })),
      });
      messages.forEach((_, n) => {
        lines.push(`${codec}\t${index}\t${report!.partition}\t${BigInt(report!.baseOffset!) + BigInt(n)}\n`);
        index++;
      });
    }
    process.stdout.write(lines.join(''));
    await producer.disconnect();
  }
}

async function consume(bootstrap: string, topic: string, groupId: string, count: number): Promise<void> {
  const consumer = kafka(bootstrap).consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`read ${lines.length} of ${count} in 60 s`)), 60_000);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    void consumer.run({
      eachMessage: ({ partition, message: { offset, key, value, headers = {} } }) => {
        const record: SentRecord = {
          key,
          value,
          headers: Object.entries(headers).flatMap(([name, values]) =>
            (Array.isArray(values) ? values : [values]).map(
              (item) => [name, (item as Buffer | undefined) ?? null] as const,
            ),
          ),
        };
        lines.push(`${partition}\t${offset}\t${recordLine(record)}\n`);
        if (lines.length === count) {
          clearTimeout(timer);
          resolve();
        }
        return Promise.resolve();
      },
    });
  });
  await consumer.disconnect();
  process.stdout.write(lines.join(''));
}

const [action, ...args] = process.argv.slice(2) as [string, string, string, string, string];
if (action === 'produce') await produce(...args);
else await consume(args[0], args[1], args[2], Number(args[3]));
