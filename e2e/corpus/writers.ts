/** The programs that write the corpus and count beside it, and what each says of its success. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

export interface Target {
  readonly bootstrap: string;
  readonly topic: string;
}

/** What a console tool says: nothing of single lines, so all of them are acknowledged or none is known to be. */
export interface ConsoleOutcome {
  readonly acknowledged: boolean;
  readonly said: string;
}

async function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

/** Runs a console producer over the file. Acknowledged: it ended with 0 and printed no delivery error. */
async function consoleProducer(
  program: string,
  args: readonly string[],
  file: string,
  error: RegExp,
): Promise<ConsoleOutcome> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = await Promise.all([
    ended(child),
    pipeline(createReadStream(file), child.stdin).catch(() => undefined), // a tool that gave up closes its stdin
  ]);
  return { acknowledged: code === 0 && !error.test(said), said };
}

export function kafkaConsoleProducer(
  classpath: string,
  { bootstrap, topic }: Target,
  file: string,
): Promise<ConsoleOutcome> {
  const tool = ['-Xmx512M', '-cp', classpath, 'org.apache.kafka.tools.ConsoleProducer'];
  const args = [...tool, '--bootstrap-server', bootstrap, '--topic', topic];
  return consoleProducer('java', args, file, /Error when sending message|Exception/);
}

/** `-E`: without it kcat ends as soon as its only broker is gone. */
export function kcatProducer({ bootstrap, topic }: Target, file: string): Promise<ConsoleOutcome> {
  return consoleProducer('kcat', ['-P', '-E', '-b', bootstrap, '-t', topic], file, /Delivery failed/);
}

/** A record that a client was told the place of. */
export interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
  readonly value: string;
}

/** What a program reports of one record: where it went, or why it did not. */
type Report = Acknowledged | { readonly failure: string };

/** A program that goes on until it is stopped and reports where each of its records went. */
export class ReportingProducer {
  readonly #child: ChildProcess;
  readonly #parse: (line: string) => Report | undefined;
  readonly #ended: Promise<number | null>;
  /** Records that it gave up, with the reason; filled by `stop`. */
  readonly failures: string[] = [];
  #output = '';

  private constructor(
    program: string,
    args: readonly string[],
    env: Record<string, string>,
    parse: (line: string) => Report | undefined,
  ) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env } });
    child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.#child = child;
    this.#parse = parse;
    this.#ended = ended(child);
  }

  /** Kafka's own VerifiableProducer, which never sends again unless `propertiesFile` says so; its values are `<prefix>.<n>`. */
  static verifiable(
    classpath: string,
    { bootstrap, topic }: Target,
    prefix: number,
    perSecond: number,
    propertiesFile?: string,
  ): ReportingProducer {
    const tool = ['-Xmx256M', '-cp', classpath, 'org.apache.kafka.tools.VerifiableProducer'];
    const rate = ['--throughput', String(perSecond), '--value-prefix', String(prefix)];
    const properties = propertiesFile === undefined ? [] : ['--command-config', propertiesFile];
    const args = [...tool, '--bootstrap-server', bootstrap, '--topic', topic, ...rate, ...properties];
    return new ReportingProducer('java', args, {}, (line) => {
      const report = JSON.parse(line) as { name: string; exception?: string; message?: string } & Acknowledged;
      if (report.name === 'producer_send_error')
        return { failure: `${report.exception ?? ''} ${report.message ?? ''}` };
      return report.name === 'producer_send_success' ? report : undefined;
    });
  }

  static librdkafka(
    pythonPath: string,
    { bootstrap, topic }: Target,
    prefix: string,
    perSecond: number,
  ): ReportingProducer {
    const program = new URL('sequence_producer.py', import.meta.url).pathname;
    const args = ['-u', program, bootstrap, topic, prefix, String(perSecond)];
    return new ReportingProducer('python3', args, { PYTHONPATH: pythonPath }, (line) => {
      const [partition, offset, value] = line.split('\t');
      if (partition === 'error') return { failure: offset! };
      return { partition: Number(partition), offset: Number(offset), value: value! };
    });
  }

  /** Ends it in its own time; answers everything it was told. */
  async stop(): Promise<Acknowledged[]> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    const whole = this.#output.slice(0, this.#output.lastIndexOf('\n') + 1);
    const acknowledged: Acknowledged[] = [];
    for (const line of whole.split('\n').filter((text) => text !== '')) {
      const report = this.#parse(line);
      if (report === undefined) continue;
      if ('failure' in report) this.failures.push(report.failure);
      else acknowledged.push(report);
    }
    return acknowledged;
  }
}

/** A member of a consumer group whose output is a file of `partition TAB offset TAB value`. */
export class GroupMember {
  readonly name: string;
  readonly file: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #lines = 0;

  constructor(name: string, file: string, program: string, args: readonly string[], env: Record<string, string> = {}) {
    this.name = name;
    this.file = file;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env } });
    child.stdout.on('data', (chunk: Buffer) => {
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) this.#lines++;
    });
    this.#child = child;
    this.#ended = Promise.all([ended(child), pipeline(child.stdout, createWriteStream(file))]).then(([code]) => code);
  }

  get lines(): number {
    return this.#lines;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Three members on three different clients, which agree on the assignor that all of them have. */
export function mixedGroup(
  { classpath, pythonPath }: { classpath: string; pythonPath: string },
  { bootstrap, topic }: Target,
  group: string,
  folder: string,
): GroupMember[] {
  const properties = ['partition', 'offset'].flatMap((name) => ['--formatter-property', `print.${name}=true`]);
  const tool = ['-Xmx512M', '-cp', classpath, 'org.apache.kafka.tools.consumer.ConsoleConsumer'];
  const console = [
    ...tool,
    '--bootstrap-server',
    bootstrap,
    '--topic',
    topic,
    '--group',
    group,
    '--from-beginning',
    ...properties,
  ];
  const program = new URL('sequence_consumer.py', import.meta.url).pathname;
  const earliest = ['-X', 'auto.offset.reset=earliest'];
  return [
    new GroupMember('kafka-console-consumer', `${folder}/console.txt`, 'java', console),
    new GroupMember('confluent-kafka', `${folder}/confluent.txt`, 'python3', [program, bootstrap, topic, group], {
      PYTHONPATH: pythonPath,
    }),
    new GroupMember('kcat', `${folder}/kcat.txt`, 'kcat', [
      ...['-b', bootstrap, ...earliest, '-q', '-u', '-E', '-f', '%p\t%o\t%s\n', '-G', group, topic],
    ]),
  ];
}
